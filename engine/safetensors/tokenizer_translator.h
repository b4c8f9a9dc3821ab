#pragma once
// tokenizer.json and its companions as the tokenizer.* metadata that a GGUF file of the model has.

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

/// The small files beside tokenizer.json, flattened; those that are not there are empty.
struct TokenizerCompanions {
  const Metadata& config;      // config.json
  const Metadata& tokenizer;   // tokenizer_config.json
  const Metadata& generation;  // generation_config.json
};

/// Adds tokenizer.ggml.* to `out`: a byte-level vocabulary ("gpt2") or, where bytes are tokens of
/// their own, a SentencePiece one ("llama") whose scores are the order of the merges. What GGUF has
/// no key for is under "hearth.tokenizer.". `text` is tokenizer.json, `file` its quoted name.
/// Errors are one line: file, path, value, expectation; kUnsupported for what would give other
/// tokens than the model was trained with.
Status translate_tokenizer(const std::string& file, std::string_view text,
                           const TokenizerCompanions& companions, Metadata& out);

}  // namespace hearth
