#pragma once
// What /v1/chat/completions and /v1/completions have in common in a request's body.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampler/sampling_params.h"
#include "server/api/api.h"
#include "server/api/validator.h"

namespace hearth::api {

/// Defaults are OpenAI's: temperature 1, top_p 1, nothing else that changes the distribution.
struct GenerationOptions {
  SamplingParams sampling;  // the seed too: the request's, else a random one
  int32_t num_choices = 1;
  int32_t priority = 0;                         // higher ones are served later
  bool ignore_eos = false;                      // end-of-generation tokens do not end it
  std::optional<int32_t> max_tokens;            // as the client set it
  std::string max_tokens_field = "max_tokens";  // the name it used
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;  // a usage chunk at the end of the stream
};

/// Takes model, n, priority, ignore_eos, stop, stream, stream_options, seed and the sampling
/// fields. An unknown model is kNotFound. Leaves max_tokens and logprobs, which the endpoints
/// define differently.
void read_generation_options(FieldReader& reader, const ApiContext& context,
                             GenerationOptions& options);

/// Takes one name of the token limit: an integer from `min`, at most the configured cap.
void read_max_tokens(FieldReader& reader, const ApiContext& context, std::string_view name,
                     int32_t min, GenerationOptions& options);

/// Takes `model`: absent, the served model's id or one of its aliases.
void read_model(FieldReader& reader, const ModelInfo& model);

}  // namespace hearth::api
