#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace hearth {

/// NaN becomes -inf and +inf the largest float, in place. False if no logit is above -inf: there
/// is nothing to choose from.
[[nodiscard]] bool sanitize_logits(std::span<float> logits);

struct Logprobs {
  float logprob = 0.0F;
  std::vector<TokenLogprob> top;  // best first, ties to lower ids
};

/// Natural logarithm of the probability of a token with this logit: `max` is the largest of all,
/// `log_sum` the logarithm of the sum of e^(logit - max).
float logprob_of(float logit, float max, double log_sum);

/// Natural logarithms of softmax(logits): of `token`, and of the `num_top` likeliest, those of
/// probability 0 left out. For sampled tokens and for prompt tokens. `logits` is [vocab_size],
/// sanitized, with one above -inf. Sums in one fixed order; error below 1e-6 + 1e-7 |logprob|.
Logprobs compute_logprobs(std::span<const float> logits, int32_t token, int32_t num_top);

}  // namespace hearth
