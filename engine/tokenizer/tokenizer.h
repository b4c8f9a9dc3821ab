#pragma once
// Text to token ids and back, from the vocabulary in a model file's metadata.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

using TokenId = int32_t;

struct EncodeOptions {
  bool add_special = true;  // BOS/EOS where the vocabulary adds them by itself
  bool parse_special =
      false;  // special tokens in the text are recognised; else they are plain text
};

/// Immutable after construction; any thread may call any member.
class Tokenizer {
 public:
  /// Builds the tokenizer that `tokenizer.ggml.model` and `.pre` name. A model or a pre-tokenizer
  /// that is not known, or a vocabulary that contradicts itself, is an error naming the key.
  /// Keeps string views into the mapping that `metadata` belongs to: that must outlive this.
  static Result<std::unique_ptr<Tokenizer>> create(const Metadata& metadata);
  virtual ~Tokenizer() = default;

  /// Never fails: bytes outside the vocabulary become byte tokens or the unknown token. Linear in
  /// the text's length but for a logarithm.
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text,
                                                    EncodeOptions options) const = 0;

  /// The text of `ids`; bytes may be invalid UTF-8 if the ids are. Special tokens give their own
  /// text if `render_special`, else nothing. Ids out of range give nothing.
  [[nodiscard]] virtual std::string decode(std::span<const TokenId> ids,
                                           bool render_special) const = 0;

  /// The bytes one token adds to a running text (no start-of-text handling).
  [[nodiscard]] virtual std::string token_bytes(TokenId id, bool render_special) const = 0;

  [[nodiscard]] virtual int32_t vocab_size() const = 0;
  /// The token's own string in the vocabulary ("<|im_end|>", "▁the").
  [[nodiscard]] virtual std::string_view token_text(TokenId id) const = 0;
  [[nodiscard]] virtual bool is_special(TokenId id) const = 0;  // control and unknown tokens
  [[nodiscard]] virtual std::optional<TokenId> find_token(std::string_view text) const = 0;
  [[nodiscard]] virtual std::optional<TokenId> bos() const = 0;
  [[nodiscard]] virtual std::optional<TokenId> eos() const = 0;
  /// Tokens that end a generation: EOS, end of turn, and the like.
  [[nodiscard]] virtual const std::vector<TokenId>& end_of_generation() const = 0;
};

/// Turns a stream of tokens into text pieces that never split a UTF-8 character. Bytes that can
/// not become a character are replaced by U+FFFD. One thread at a time.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive this. The stream continues a prompt: no start-of-text handling.
  StreamDecoder(const Tokenizer& tokenizer, bool render_special);

  /// The text that `id` completes; may be empty.
  std::string push(TokenId id);
  /// What is still held back, with U+FFFD for a character that never became whole.
  std::string flush();

 private:
  const Tokenizer& tokenizer_;
  bool render_special_;
  std::string pending_;  // at most 3 bytes of an incomplete character
};

}  // namespace hearth
