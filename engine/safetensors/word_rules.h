#pragma once
// Recognises how a tokenizer.json cuts a text into words.

#include <string_view>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

/// Whether the pre-tokenizer's chain ends in the byte-level alphabet.
bool is_byte_level(const Metadata& tokenizer);

/// The value of `tokenizer.ggml.pre` whose rules do what the "pre_tokenizer" of the flattened
/// tokenizer.json does, with merges ignored for words that are tokens, and with blanks before
/// punctuation removed in decoding, as told. A chain that is not known is kUnsupported: guessing
/// would give wrong tokens.
Result<std::string_view> find_word_rules(const Metadata& tokenizer, bool ignore_merges,
                                         bool clean_spaces);

}  // namespace hearth
