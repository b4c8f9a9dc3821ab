#pragma once
// f32 values as sums of two 16-bit floats, high and low, so that tensor cores multiply them but for
// 1 part in 2^21 (F16) or 2^16 (BF16). Included by .cu files after simt.h.

#include "kernels/cuda/simt.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Two values: words of 16-bit floats, the first one in the low half.
struct HalfPairs {
  uint32_t high;
  uint32_t low;
};

template <bool kBf16>
HEARTH_KERNEL HalfPairs split_pair(float first, float second) {
  if constexpr (kBf16) {
    const uint32_t high = simt::pack_bf16(first, second);
    return {high, simt::pack_bf16(first - float_from_bits(high << 16),
                                  second - float_from_bits(high & 0xFFFF0000U))};
  } else {
    const uint32_t high = simt::pack_f16(first, second);
    return {high, simt::pack_f16(first - simt::half_to_float(static_cast<uint16_t>(high)),
                                 second - simt::half_to_float(static_cast<uint16_t>(high >> 16)))};
  }
}

/// What a row with this largest magnitude is divided by before F16 splits it: the power of two that
/// brings it to [2^14, 2^15), so that neither part is out of F16's small range. Rows of tiny values
/// and infinities stay as they are: neither gets more precise.
HEARTH_KERNEL float half_scale(float largest) {
  const auto exponent = static_cast<int>(float_to_bits(largest) >> 23);
  const bool plain = exponent < 32 || exponent == 255;
  return plain ? 1.0F : float_from_bits(static_cast<uint32_t>(exponent - 14) << 23);
}

}  // namespace hearth::kernels::HEARTH_SIMT
