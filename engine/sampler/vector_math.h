#pragma once
// Plain loops over logits that compilers turn into vector code for any instruction set, with the
// same bits on each: every reduction has 16 explicit lanes, combined in one order.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace hearth {

inline constexpr size_t kLanes = 16;

/// exp(x) for x <= 0, relative error below 2e-7, exactly 0 below -87 and 1 at 0. No branches.
inline float exp_nonpositive(float x) {
  // Cody and Waite: x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to an integer
  // that then stands in the low bits of the float.
  constexpr float kLog2E = 1.44269504F;
  constexpr float kRound = 12582912.0F;
  constexpr float kLn2High = 0.693359375F;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kLeast = -87.0F;  // the result is still a normal float
  const float clamped = x > kLeast ? x : kLeast;
  const float rounded = clamped * kLog2E + kRound;
  const float n = rounded - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  // Taylor to degree 7: the remainder is below 1e-8 for |r| <= 0.35.
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const uint32_t exponent = std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(kRound);
  const float power = std::bit_cast<float>((exponent + 127U) << 23);
  return x < kLeast ? 0.0F : p * power;
}

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

/// Sum of exp(values[i] - max). f32 within chunks, f64 over them: the error stays that of a few
/// hundred additions whatever the vocabulary.
inline double exp_sum(std::span<const float> values, float max) {
  constexpr size_t kChunk = 4096;
  double total = 0.0;
  for (size_t begin = 0; begin < values.size(); begin += kChunk) {
    const std::span<const float> chunk =
        values.subspan(begin, std::min(kChunk, values.size() - begin));
    std::array<float, kLanes> lanes{};
    size_t i = 0;
    for (; i + kLanes <= chunk.size(); i += kLanes)
      for (size_t lane = 0; lane < kLanes; ++lane)
        lanes[lane] += exp_nonpositive(chunk[i + lane] - max);
    for (; i < chunk.size(); ++i) lanes[0] += exp_nonpositive(chunk[i] - max);
    for (const float lane : lanes) total += lane;
  }
  return total;
}

}  // namespace hearth
