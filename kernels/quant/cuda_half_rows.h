#pragma once
// Rows of x as 16-bit floats, as the tensor-core matmul (kernels/matmul/half_matmul.h) reads them,
// for kernels that convert what they made. Included by .cu files after simt.h.
//
// A row is cut into the matmul's parts, and a part is divided by a power of two that brings its
// largest magnitude to [2^9, 2^10): nothing overflows, sums of 32 values neither, and what is below
// F16's normal numbers is 2^23 times smaller than the largest.

#include "kernels/cuda/half_layout.h"
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

/// Writes a warp's values of one block of 32, divided by their part's scale.
HEARTH_KERNEL void put_half_block(float x, int64_t block, const HalfRows& out) {
  const int lane = simt::lane_index();
  const auto half = static_cast<uint16_t>(simt::pack_f16(x, 0.0F));
  float sum = simt::half_to_float(half);
  for (int mask = 8; mask > 0; mask /= 2) sum += simt::shuffle_xor(sum, mask);
  const float sum32 = sum + simt::shuffle_xor(sum, 16);
  out.value[block * 32 + (out.in_order ? lane : simt::half_offset(lane))] = half;
  if (lane % 16 == 0) out.sum16[block * 2 + lane / 16] = sum;
  if (lane == 0) {
    const uint32_t large = simt::pack_f16(sum32, 0.0F);
    const float rest = sum32 - simt::half_to_float(static_cast<uint16_t>(large));
    // Of infinity the rest is none.
    out.sum32[block] = large | (std::isnan(rest) ? 0U : simt::pack_f16(0.0F, rest));
  }
}

/// Converts one part of a row whose values are value(0), … by a team of kWarps warps that lie next
/// to each other; keep(i, value) is called for each value behind all calls of value(i). `scratch`
/// and who must come here: as team_max().
template <int kWarps, typename Value, typename Keep>
HEARTH_KERNEL void put_half_part(const Value& value, const Keep& keep, int64_t row, int cols,
                                 int part, uint32_t* scratch, const HalfRows& out) {
  const int steps = (cols + kPartStep - 1) / kPartStep;
  const int begin = part_begin(part, steps) * (kPartStep / 32);
  const int end = min_of(part_begin(part + 1, steps) * (kPartStep / 32), cols / 32);
  const int first = begin + simt::warp_index() % kWarps;
  const int lane = simt::lane_index();
  uint32_t bits = 0;
  for (int block = first; block < end; block += kWarps) {
    const uint32_t of_value = float_to_bits(value(block * 32 + lane)) & 0x7FFFFFFFU;
    bits = of_value > bits ? of_value : bits;
  }
  const float scale = part_scale_of(team_max<kWarps>(bits, scratch));
  if (simt::warp_index() % kWarps == 0 && lane == 0)
    out.scale[row * HalfRows::kParts + part] = scale;
  const float inverse = inverse_of_power(scale);
  for (int block = first; block < end; block += kWarps) {
    const float of_lane = value(block * 32 + lane);
    keep(block * 32 + lane, of_lane);
    put_half_block(of_lane * inverse, row * (cols / 32) + block, out);
  }
}

}  // namespace hearth::kernels::HEARTH_SIMT
