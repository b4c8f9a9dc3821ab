#pragma once
// Prompts as token ids, and whether they fit.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/generation_options.h"

namespace hearth::api {

/// The token ids of a prompt for generation. Special tokens written in the text count as such: a
/// chat template writes them, and a completions client may; so may whoever writes a chat message,
/// as with every template that is rendered to text. BOS is added where the vocabulary does so, but
/// not twice; an EOS that the vocabulary would add is left out, since the text goes on.
std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, std::string_view text);

/// The token ids in the array `values`, which `field` names in errors; nothing if one is not an
/// integer in [0, vocab_size).
std::optional<std::vector<TokenId>> read_token_ids(FieldReader& reader, const OrderedJson& values,
                                                   const std::string& field, int32_t vocab_size);

/// How many tokens a choice may have, at least 1. kContextLengthExceeded with both counts if the
/// prompt fills the context or if an explicit max_tokens does not fit behind it. `default_tokens`
/// holds without max_tokens, less where less is left; none: whatever is left. `field` names the
/// prompt.
Result<int32_t> fit_max_tokens(const ApiContext& context, const GenerationOptions& options,
                               size_t prompt_tokens, std::optional<int32_t> default_tokens,
                               std::string_view field);

}  // namespace hearth::api
