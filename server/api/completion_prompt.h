#pragma once
// The prompt of /v1/completions: a string, an array of strings, an array of token ids, or an array
// of such arrays.

#include <string>
#include <vector>

#include "server/api/api.h"
#include "server/api/validator.h"

namespace hearth::api {

struct CompletionPrompt {
  std::vector<TokenId> ids;
  std::string text;   // as echo gives it back
  std::string field;  // "prompt" or "prompt[2]"
};

/// Takes `prompt`. Absent or "" is the bare start of a text, BOS, if the vocabulary has one.
/// Refused: an empty array, an empty token array, ids outside the vocabulary, mixed arrays, more
/// prompts than the limit.
std::vector<CompletionPrompt> read_completion_prompts(FieldReader& reader,
                                                      const ApiContext& context);

}  // namespace hearth::api
