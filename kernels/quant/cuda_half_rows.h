#pragma once
// Rows of x as 16-bit floats, as the tensor-core matmul (kernels/matmul/half_matmul.h) reads them,
// for kernels that convert what they made. Included by .cu files after simt.h.
//
// A row is cut into the matmul's parts, and a part is divided by a power of two that brings its
// largest magnitude to [2^9, 2^10): nothing overflows, sums of 32 values neither, and what is below
// F16's normal numbers is 2^23 times smaller than the largest.

#include "kernels/cuda/simt.h"
#include "kernels/matmul/matmul_place.h"

namespace hearth::kernels::HEARTH_SIMT {

/// What a part with these bits of its largest magnitude is divided by. Parts that are not finite
/// stay as they are: so do the values that make them so.
HEARTH_KERNEL float part_scale_of(uint32_t largest_bits) {
  const uint32_t exponent = largest_bits >> 23;
  if (exponent == 255) return 1.0F;
  return float_from_bits(((exponent < 32 ? 32 : exponent) - 9) << 23);
}
/// 1 / scale, of what the above gives.
HEARTH_KERNEL float inverse_of_power(float scale) {
  return float_from_bits((254U << 23) - float_to_bits(scale));
}

/// The largest magnitude as bits, so that a NaN is the largest of all, over a team of kWarps warps
/// that lie next to each other. `scratch` has room for a word of each warp of the cta; with more
/// than one warp all threads of the cta must come here.
template <int kWarps>
HEARTH_KERNEL uint32_t team_max(uint32_t bits, uint32_t* scratch) {
  for (int mask = simt::kWarp / 2; mask > 0; mask /= 2) {
    const uint32_t other = simt::shuffle_xor(bits, mask);
    bits = other > bits ? other : bits;
  }
  if constexpr (kWarps > 1) {
    const int warp = simt::warp_index();
    if (simt::lane_index() == 0) scratch[warp] = bits;
    simt::sync_cta();
    for (int w = warp / kWarps * kWarps; w < (warp / kWarps + 1) * kWarps; ++w)
      bits = scratch[w] > bits ? scratch[w] : bits;
  }
  return bits;
}

}  // namespace hearth::kernels::HEARTH_SIMT
