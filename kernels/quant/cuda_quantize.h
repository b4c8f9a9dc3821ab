#pragma once
// A warp's block of 32 values to int8, for kernels that quantize what they made. Gives the bits of
// kernels/quant/quantize_rows.h: the warp folds its sums by halves, as that header says. Included
// by .cu files after simt.h.

#include <cfloat>

#include "kernels/cuda/q8_layout.h"
#include "kernels/cuda/simt.h"
#include "kernels/tensor_view.h"

namespace hearth::kernels::HEARTH_SIMT {

struct WarpQuantizer {
  /// Quantizes the values x of a warp's lanes to block `block` of `out`.
  static HEARTH_KERNEL void put(float x, int64_t block, const Q8Rows& out) {
    const int lane = simt::lane_index();
    // Magnitudes are compared as bits, so that a NaN is the largest of all.
    uint32_t bits = float_to_bits(x) & 0x7FFFFFFFU;
    for (int mask = 16; mask > 0; mask /= 2) {
      const uint32_t other = simt::shuffle_xor(bits, mask);
      bits = other > bits ? other : bits;
    }
    const float largest = float_from_bits(bits);
    float scale = largest / 127.0F;
    int code = 0;
    if (bits < 0x7F800000U && scale >= FLT_MIN) {  // the same in all lanes
      scale = largest * choose_codes(x / largest, code);
    } else if (bits < 0x7F800000U) {
      scale = 0.0F;
    }
    int sum = code;
    for (int mask = 8; mask > 0; mask /= 2) sum += simt::shuffle_xor(sum, mask);
    out.q[block * 32 + simt::q8_offset(lane)] = static_cast<int8_t>(code);
    if (lane == 0) out.scale[block] = scale;
    if (lane % 16 == 0) out.sum16[block * 2 + lane / 16] = static_cast<int16_t>(sum);
  }

 private:
  /// The best code of y for this lane; gives the slope y.q / q.q of the block.
  static HEARTH_KERNEL float choose_codes(float y, int& best_code) {
    float best_score = -1.0F;
    float slope = 0.0F;
    HEARTH_UNROLL
    for (int grid = 0; grid < 4; ++grid) {
      const float rounded = rintf(y * static_cast<float>(127 - grid));
      const auto code = static_cast<int>(rounded);
      int squares = code * code;
      for (int mask = 16; mask > 0; mask /= 2) squares += simt::shuffle_xor(squares, mask);
      const float dot = simt::warp_sum(y * rounded);
      const float candidate = dot / static_cast<float>(squares);
      const float score = dot * candidate;
      if (score > best_score) {
        best_score = score;
        slope = candidate;
        best_code = code;
      }
    }
    return slope;
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
