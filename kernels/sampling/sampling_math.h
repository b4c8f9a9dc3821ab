#pragma once
// The scalar steps of sampling, one source for every sampler: equal bits on the CPU and on devices.
// Multiplications and additions are not fused in any of the builds (CMake's flags see to that).
// C++20: CUDA code includes this header.

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "kernels/quant/half.h"

namespace hearth::kernels {

/// exp(x) for x <= 0, relative error below 2e-7, exactly 0 below -87 and 1 at 0. No branches.
HEARTH_HOST_DEVICE float exp_nonpositive(float x) {
  // Cody and Waite: x = n ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to an integer
  // that then stands in the low bits of the float.
  constexpr float kLog2E = 1.44269504F;
  constexpr float kRound = 12582912.0F;
  constexpr float kLn2High = 0.693359375F;  // few bits, so that n * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4F;
  // Below -87 results would leave the normal floats. Magnitudes order as their bits do, so this is
  // integer arithmetic: with comparisons compilers make branches and keep the loop scalar.
  const auto most_bits = static_cast<int32_t>(float_to_bits(87.0F));
  const auto magnitude = static_cast<int32_t>(float_to_bits(x) & 0x7FFFFFFFU);
  const int32_t room = most_bits - magnitude;
  const int32_t beyond = room >> 31;  // all ones if x < -87
  const float clamped = -float_from_bits(static_cast<uint32_t>(magnitude + (room & beyond)));
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
  const uint32_t exponent = float_to_bits(rounded) - float_to_bits(kRound);
  const float power = float_from_bits((exponent + 127U) << 23);
  return float_from_bits(float_to_bits(p * power) & ~static_cast<uint32_t>(beyond));
}

/// A probability relative to the likeliest token's, in units of 2^-44: sums are exact.
HEARTH_HOST_DEVICE uint64_t mass_of(float exp) { return static_cast<uint64_t>(exp * 0x1p44F); }

/// A logit as sampling takes it: NaN is -inf, and no logit is above the largest float.
HEARTH_HOST_DEVICE float sanitized(float logit) {
  const float number = logit == logit ? logit : -INFINITY;
  return number < FLT_MAX ? number : FLT_MAX;
}

HEARTH_HOST_DEVICE float clamped_logit(float logit) {
  const float above = logit < -FLT_MAX ? -FLT_MAX : logit;
  return FLT_MAX < above ? FLT_MAX : above;
}

// An impossible token stays so; any other stays finite, so that one remains to be chosen.

HEARTH_HOST_DEVICE float with_bias(float logit, float bias) {
  return logit >= -FLT_MAX ? clamped_logit(logit + bias) : logit;
}

/// Of a token that is `count` times in the output; 0: in the prompt alone.
HEARTH_HOST_DEVICE float with_penalties(float logit, int32_t count, float repetition,
                                        float presence, float frequency) {
  if (!(logit >= -FLT_MAX)) return logit;
  const float scaled = logit > 0.0F ? logit / repetition : logit * repetition;
  if (count == 0) return clamped_logit(scaled);
  return clamped_logit(scaled - presence - frequency * static_cast<float>(count));
}

/// The mass that the fewest candidates kept must reach: `share` of `total`, at least 1.
HEARTH_HOST_DEVICE uint64_t wanted_mass(double share, uint64_t total) {
  // A total above 2^53 is rounded; the share never asks for more than there is, nor for nothing.
  const double wanted = ceil(share * static_cast<double>(total));
  if (wanted >= static_cast<double>(total)) return total;
  const auto mass = static_cast<uint64_t>(wanted);
  return mass > 1 ? mass : 1;
}

/// Bits scaled to [0, total): the upper half of their product, by halves of 32 bits.
HEARTH_HOST_DEVICE uint64_t scaled_place(uint64_t bits, uint64_t total) {
  const uint64_t low = (bits & 0xFFFFFFFFU) * (total & 0xFFFFFFFFU);
  const uint64_t middle = (bits >> 32) * (total & 0xFFFFFFFFU) + (low >> 32);
  const uint64_t other = (bits & 0xFFFFFFFFU) * (total >> 32) + (middle & 0xFFFFFFFFU);
  return (bits >> 32) * (total >> 32) + (middle >> 32) + (other >> 32);
}

/// The least mass that stays beside `largest`.
HEARTH_HOST_DEVICE double least_mass(double min_p, uint64_t largest) {
  return (min_p < 1.0 ? min_p : 1.0) * static_cast<double>(largest);
}

}  // namespace hearth::kernels
