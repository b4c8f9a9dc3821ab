#include "engine/sampler/logprobs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "engine/sampler/vector_math.h"

namespace hearth {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

/// Best first: larger value, ties to the lower id. TokenLogprob::logprob holds logits here.
bool better(const TokenLogprob& a, const TokenLogprob& b) {
  return a.logprob > b.logprob || (a.logprob == b.logprob && a.token < b.token);
}

/// The `count` largest finite logits, best first. One pass with a heap whose top is the worst of
/// the best so far: nearly all tokens cost one comparison.
std::vector<TokenLogprob> largest_logits(std::span<const float> logits, size_t count) {
  std::vector<TokenLogprob> heap;
  if (count == 0) return heap;
  heap.reserve(count);
  float threshold = -kInfinity;  // a logit must be above it to enter
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > threshold)) continue;
    if (heap.size() == count) {
      std::ranges::pop_heap(heap, better);
      heap.pop_back();
    }
    heap.push_back({static_cast<int32_t>(i), logits[i]});
    std::ranges::push_heap(heap, better);
    // Ids ascend, so an equal logit that comes later is worse.
    if (heap.size() == count) threshold = heap.front().logprob;
  }
  std::ranges::sort(heap, better);
  return heap;
}

}  // namespace

bool sanitize_logits(std::span<float> logits) {
  for (float& x : logits) x = kernels::sanitized(x);
  return max_of(logits) > -kInfinity;
}

float logprob_of(float logit, float max, double log_sum) {
  if (logit == -kInfinity) return -kInfinity;
  const double value = static_cast<double>(logit) - max - log_sum;
  return static_cast<float>(std::max<double>(value, -kLargest));
}

Logprobs compute_logprobs(std::span<const float> logits, int32_t token, int32_t num_top) {
  HEARTH_CHECK(token >= 0 && static_cast<size_t>(token) < logits.size(), "token id");
  const float max = max_of(logits);
  const double log_sum = std::log(exp_sum(logits, max));
  const auto logprob = [&](float logit) { return logprob_of(logit, max, log_sum); };
  Logprobs out;
  out.logprob = logprob(logits[static_cast<size_t>(token)]);
  const auto count = std::min(static_cast<size_t>(std::max(num_top, 0)), logits.size());
  out.top = largest_logits(logits, count);
  for (TokenLogprob& entry : out.top) entry.logprob = logprob(entry.logprob);
  return out;
}

}  // namespace hearth
