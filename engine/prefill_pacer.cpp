#include "engine/prefill_pacer.h"

#include <algorithm>
#include <bit>

namespace hearth {

PrefillPacer::PrefillPacer(int32_t max_rows) : max_rows_(std::max(max_rows, 1)) {}

int32_t PrefillPacer::prefill_rows(int32_t decode_rows, int32_t prompts) const {
  if (decode_rows == 0) return max_rows_;
  const double share = std::clamp(static_cast<double>(prompts) / decode_rows, 1.0, kMostPrompts);
  const double decode_ns = decode_step_ns(decode_rows);
  double rows = kMinRows * share;
  // At most twice the rows seen last: what a row adds is known around that size only.
  if (decode_ns > 0.0 && row_ns_.value > 0.0)
    rows = std::min(share * (kMaxSlowdown - 1.0) * decode_ns / row_ns_.value, 2.0 * last_rows_);
  const double least = std::min(kMinRows, max_rows_);
  return static_cast<int32_t>(std::clamp(rows, least, static_cast<double>(max_rows_)));
}

void PrefillPacer::observe(int32_t decode_rows, int32_t prefill_rows, Duration duration) {
  const auto ns = static_cast<double>(duration.count());
  if (prefill_rows == 0) {
    if (decode_rows > 0) decode_ns_[bucket(decode_rows)].add(ns);
    return;
  }
  if (decode_rows == 0) return;  // the price of a row in a large step says little about a small one
  const double decode_ns = decode_step_ns(decode_rows);
  if (decode_ns == 0.0) return;
  // A row is never free: a fraction of the mean decode step is what the clock can tell.
  row_ns_.add(std::max((ns - decode_ns) / prefill_rows, decode_ns / (4.0 * max_rows_)));
  last_rows_ = std::max(prefill_rows, std::min(kMinRows, max_rows_));
}

void PrefillPacer::Mean::add(double sample) {
  // A slower step may have been interrupted: it counts little, and as one a little slower. A faster
  // one is nearer to the truth, most of all after a first one that read the weights from disk.
  constexpr double kSlowerWeight = 0.1;
  constexpr double kFasterWeight = 0.3;
  constexpr double kLargest = 3.0;
  if (value == 0.0) {
    value = sample;
  } else {
    const double weight = sample < value ? kFasterWeight : kSlowerWeight;
    value += weight * (std::min(sample, kLargest * value) - value);
  }
}

size_t PrefillPacer::bucket(int32_t decode_rows) {
  const auto width = static_cast<size_t>(std::bit_width(static_cast<uint32_t>(decode_rows)));
  return std::min(width - 1, size_t{15});
}

double PrefillPacer::decode_step_ns(int32_t decode_rows) const {
  for (size_t i = bucket(decode_rows) + 1; i-- > 0;)
    if (decode_ns_[i].value > 0.0) return decode_ns_[i].value;
  return 0.0;
}

}  // namespace hearth
