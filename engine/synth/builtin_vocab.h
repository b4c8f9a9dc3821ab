#pragma once
// A byte-level BPE vocabulary of our own, so that synthetic models tokenize and chat.

#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

struct BuiltinVocab {
  std::vector<std::string> tokens;   // printable spelling of bytes, as "gpt2" vocabularies have it
  std::vector<int32_t> token_types;  // 1 normal, 3 control, 5 unused
  std::vector<std::string> merges;   // "left right", best first
  int32_t end_of_text = 0;           // <|endoftext|>
  int32_t im_start = 0;              // <|im_start|>
  int32_t im_end = 0;                // <|im_end|>
};

/// All 256 bytes and three control tokens: the least a vocabulary has.
constexpr int32_t kMinBuiltinVocab = 256 + 3;

/// A vocabulary of exactly `size` >= kMinBuiltinVocab tokens: bytes, pieces of common English
/// words and their combinations, the control tokens, and unused tokens if pieces run out. Every
/// merge's result is a token, and every token beyond bytes has one merge.
BuiltinVocab make_builtin_vocab(int32_t size);

/// The template of ChatML, whose turn markers the vocabulary has.
extern const char* const kChatMlTemplate;

}  // namespace hearth
