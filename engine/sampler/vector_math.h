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
  // Below -87 results would leave the normal floats. Magnitudes order as their bits do, so this is
  // integer arithmetic: with comparisons compilers make branches and keep the loop scalar.
  constexpr auto kMostBits = std::bit_cast<int32_t>(87.0F);
  const int32_t magnitude = std::bit_cast<int32_t>(x) & 0x7FFFFFFF;
  const int32_t room = kMostBits - magnitude;
  const int32_t beyond = room >> 31;  // all ones if x < -87
  const float clamped = -std::bit_cast<float>(magnitude + (room & beyond));
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
  return std::bit_cast<float>(std::bit_cast<int32_t>(p * power) & ~beyond);
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
