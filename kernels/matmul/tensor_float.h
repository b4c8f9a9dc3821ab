#pragma once
// TensorMatmul's format for F16 and BF16 weights. Included by .cu files after simt.h.

#include "kernels/matmul/tensor_matmul.h"

namespace hearth::kernels::HEARTH_SIMT {

/// x is the sum of two 16-bit floats of the weights' type (SplitRows in float_matmul.cu), so that
/// what the tensor cores multiply is x but for 1 part in 2^21 (F16) or 2^16 (BF16). Each group of
/// 32 values is two products, by the high and by the low part in turn. Which values share a product
/// is free as long as a and b agree: a lane takes 8 that lie next to each other, in one load.
template <bool kBf16>
struct FloatFormat {
  static constexpr int kStep = 64;
  static constexpr int kWeightBytes = kStep * 2;
  // 64 bytes beyond a multiple of 128: the two rows that a quarter of a warp reads at a time lie in
  // different banks.
  static constexpr int kWeightPitch = 192;
  static constexpr int kPlanes = 2;
  static constexpr int kPlanePitch = 320;

  static HEARTH_KERNEL int plane_offset(int p) { return p * kWeightBytes; }
  static HEARTH_KERNEL int plane_step(int) { return kWeightBytes; }
  static HEARTH_KERNEL int plane_copy(int) { return 16; }
  static HEARTH_KERNEL int plane_bytes(int, int values) { return values * 2; }

  template <int kM, int kN>
  struct Operands {
    const unsigned char* weight[kM][2];
    const unsigned char* column[kN];
    const unsigned char* sum_row[kN][2];
  };

  template <int kM, int kN>
  static HEARTH_KERNEL void consume(const Operands<kM, kN>& operands, int groups, int quad,
                                    float (&sums)[kM][kN][4]) {
    for (int group = 0; group < groups; ++group) {
      const int at = 64 * group + 16 * quad;
      simt::Vec16 a[kM][2];
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m)
        for (int i = 0; i < 2; ++i) a[m][i] = load(operands.weight[m][i] + at);
      HEARTH_UNROLL
      for (int n = 0; n < kN; ++n) {
        const simt::Vec16 high = load(operands.column[n] + at);
        const simt::Vec16 low = load(operands.column[n] + kWeightBytes + at);
        HEARTH_UNROLL
        for (int m = 0; m < kM; ++m) HEARTH_UNROLL
        for (int i = 0; i < 4; i += 2) {
          const uint32_t words[4] = {a[m][0].word[i], a[m][1].word[i], a[m][0].word[i + 1],
                                     a[m][1].word[i + 1]};
          const uint32_t b_high[2] = {high.word[i], high.word[i + 1]};
          const uint32_t b_low[2] = {low.word[i], low.word[i + 1]};
          multiply(sums[m][n], words, b_high);
          multiply(sums[m][n], words, b_low);
        }
      }
    }
  }

 private:
  static HEARTH_KERNEL simt::Vec16 load(const unsigned char* at) {
    return *reinterpret_cast<const simt::Vec16*>(at);
  }
  static HEARTH_KERNEL void multiply(float (&c)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
    if constexpr (kBf16) {
      simt::mma_bf16(c, a, b);
    } else {
      simt::mma_f16(c, a, b);
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
