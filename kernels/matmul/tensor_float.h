#pragma once
// HalfMatmul's format for F16 and BF16 weights. Included by .cu files after simt.h.

#include "kernels/matmul/half_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

/// x is 16-bit floats of the weights' type (RoundRowsKernel in float_matmul.cu). Which values share
/// a product is free as long as a and b agree: a lane takes 8 that lie next to each other, in one
/// load.
template <bool kBf16>
struct FloatFormat {
  static constexpr int kStep = 64;
  static constexpr int kWideStep = 64;
  static constexpr int kSplitTiles = 1;
  static constexpr int kSplitStages = 4;
  static constexpr bool kSwizzled = true;
  static constexpr int kSums = 0;
  static constexpr float kUnit = 1.0F;
  template <int kValues>
  static constexpr int weight_bytes() {
    return kValues * 2;
  }
  template <int kValues>
  static constexpr int weight_pitch() {
    static_assert(kValues == 64, "what half_chunk() is made for");
    return kValues * 2;
  }

  template <int kX, int kM, int kN>
  static HEARTH_KERNEL void consume(const HalfOperands<kM, kN>& operands, int, int groups, int,
                                    float (&sums)[kM][kN][4]) {
    HEARTH_UNROLL
    for (int group = 0; group < kX / 32; ++group)
      if (group < groups) multiply(operands, group, sums);
  }

 private:
  template <int kM, int kN>
  static HEARTH_KERNEL void multiply(const HalfOperands<kM, kN>& operands, int group,
                                     float (&sums)[kM][kN][4]) {
    simt::Vec16 a[kM][2];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      a[m][i] = *reinterpret_cast<const simt::Vec16*>(simt::shared_memory() +
                                                      (operands.weight[m][i] ^ group * 64));
    }
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      const simt::Vec16 b = load_column(operands, n, group);
      HEARTH_UNROLL
      for (int i = 0; i < 4; i += 2) HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) {
        const uint32_t words[4] = {a[m][0].word[i], a[m][1].word[i], a[m][0].word[i + 1],
                                   a[m][1].word[i + 1]};
        const uint32_t of_x[2] = {b.word[i], b.word[i + 1]};
        if constexpr (kBf16) {
          simt::mma_bf16(sums[m][n], words, of_x);
        } else {
          simt::mma_f16(sums[m][n], words, of_x);
        }
      }
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
