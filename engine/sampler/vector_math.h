#pragma once
// Plain loops over logits that compilers turn into vector code for any instruction set, with the
// same bits on each: every reduction has 16 explicit lanes, combined in one order.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/sampling/sampling_math.h"

namespace hearth {

inline constexpr size_t kLanes = 16;

using kernels::exp_nonpositive;

/// The largest of `values`, none of them NaN; -inf if there are none.
inline float max_of(std::span<const float> values) {
  std::array<float, kLanes> lanes;
  lanes.fill(-std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

/// How many values pass through a buffer on the stack at a time: 4 KiB, so that it stays in L1.
inline constexpr size_t kChunk = 1024;

/// out[i] = exp((values[i] - max) / temperature), at most kChunk of them.
inline void exp_chunk(std::span<const float> values, float max, float temperature,
                      std::array<float, kChunk>& out) {
  for (size_t i = 0; i < values.size(); ++i)
    out[i] = exp_nonpositive((values[i] - max) / temperature);
}

/// Sum of exp(values[i] - max). f32 within chunks, f64 over them: the error stays that of a few
/// dozen additions whatever the vocabulary.
inline double exp_sum(std::span<const float> values, float max) {
  std::array<float, kChunk> exps;
  double total = 0.0;
  for (size_t begin = 0; begin < values.size(); begin += kChunk) {
    const auto chunk = values.subspan(begin, std::min(kChunk, values.size() - begin));
    exp_chunk(chunk, max, 1.0F, exps);
    std::fill(exps.begin() + static_cast<ptrdiff_t>(chunk.size()), exps.end(), 0.0F);
    std::array<float, kLanes> lanes{};
    for (size_t i = 0; i < kChunk; i += kLanes)
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += exps[i + lane];
    for (const float lane : lanes) total += lane;
  }
  return total;
}

}  // namespace hearth
