#pragma once
// How far logits are from a reference: the figures of `hearth verify`.

#include <cstdint>
#include <span>

namespace hearth {

/// Over rows of logits. Divergences are in nats.
struct LogitDistance {
  int64_t rows = 0;
  double max_abs = 0.0;  // largest |logit difference|
  double rms = 0.0;      // root mean square of the differences
  double mean_kl = 0.0;  // mean over rows of KL(softmax(reference) || softmax(ours))
  double max_kl = 0.0;
  double top1_agree = 0.0;  // share of rows with the same argmax
};

/// Compares [rows, vocab_size] logits; both spans have the same size. All sums are in double. A
/// value of ours that is not finite makes max_abs, rms and the divergences infinite.
LogitDistance compare_logits(std::span<const float> reference, std::span<const float> ours,
                             int64_t vocab_size);

/// -ln p(token) under softmax(logits).
double negative_log_likelihood(std::span<const float> logits, int32_t token);

/// Index of the largest logit; the lowest of equals.
int32_t argmax(std::span<const float> logits);

}  // namespace hearth
