#include "engine/evaluate/logit_distance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace hearth {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double peak = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - peak);
  return peak + std::log(sum);
}

double kl_divergence(std::span<const float> reference, std::span<const float> ours) {
  const double norm_reference = log_sum_exp(reference);
  const double norm_ours = log_sum_exp(ours);
  double sum = 0.0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = static_cast<double>(reference[i]) - norm_reference;
    const double log_q = static_cast<double>(ours[i]) - norm_ours;
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return sum;
}

}  // namespace

int32_t argmax(std::span<const float> logits) {
  return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

double negative_log_likelihood(std::span<const float> logits, int32_t token) {
  return log_sum_exp(logits) - static_cast<double>(logits[static_cast<size_t>(token)]);
}

LogitDistance compare_logits(std::span<const float> reference, std::span<const float> ours,
                             int64_t vocab_size) {
  HEARTH_CHECK(reference.size() == ours.size(), "both sides have the same rows");
  const auto vocab = static_cast<size_t>(vocab_size);
  LogitDistance out;
  out.rows = static_cast<int64_t>(reference.size() / vocab);
  if (!std::ranges::all_of(ours, [](float x) { return std::isfinite(x); })) {
    out.max_abs = out.rms = out.mean_kl = out.max_kl = std::numeric_limits<double>::infinity();
    return out;
  }
  double squares = 0.0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double difference = static_cast<double>(ours[i]) - static_cast<double>(reference[i]);
    out.max_abs = std::max(out.max_abs, std::abs(difference));
    squares += difference * difference;
  }
  int64_t agree = 0;
  for (size_t begin = 0; begin < reference.size(); begin += vocab) {
    const auto expected = reference.subspan(begin, vocab);
    const auto got = ours.subspan(begin, vocab);
    const double kl = kl_divergence(expected, got);
    out.mean_kl += kl;
    out.max_kl = std::max(out.max_kl, kl);
    agree += argmax(expected) == argmax(got) ? 1 : 0;
  }
  const auto rows = static_cast<double>(out.rows);
  out.rms = std::sqrt(squares / static_cast<double>(reference.size()));
  out.mean_kl /= rows;
  out.top1_agree = static_cast<double>(agree) / rows;
  return out;
}

}  // namespace hearth
