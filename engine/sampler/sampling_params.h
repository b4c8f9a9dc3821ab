#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace hearth {

/// How the next token is drawn. Values were checked by the API layer; the ranges are OpenAI's.
struct SamplingParams {
  float temperature = 1.0F;         // 0: greedy; up to 2
  int32_t top_k = 0;                // 0: off
  float top_p = 1.0F;               // 1: off
  float min_p = 0.0F;               // 0: off
  float typical_p = 1.0F;           // 1: off
  float repetition_penalty = 1.0F;  // 1: off; Keskar et al. 2019, over prompt and output
  float presence_penalty = 0.0F;    // -2 … 2, over output
  float frequency_penalty = 0.0F;   // -2 … 2, over output
  std::vector<std::pair<int32_t, float>> logit_bias;  // token id, -100 … 100
  uint64_t seed = 0;          // keys the counter-based generator with choice and position
  int32_t num_logprobs = -1;  // -1: none; 0: of the chosen token; n: and of the n likeliest

  friend bool operator==(const SamplingParams&, const SamplingParams&) = default;
};

}  // namespace hearth
