#pragma once
// HalfMatmul's format for F16 and BF16 weights. Included by .cu files after simt.h.

#include "kernels/matmul/half_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

/// x is 16-bit floats of the weights' type (RoundRowsKernel in float_matmul.cu).
template <bool kBf16>
struct FloatFormat {
  static constexpr int kStep = 64;
  static constexpr int kWideStep = 64;
  static constexpr int kSplitTiles = 1;
  static constexpr int kSplitStages = 4;
  static constexpr bool kSwizzled = true;
  static constexpr int kSums = 0;
  static constexpr bool kSumPairs = false;
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

  template <int kN>
  static HEARTH_KERNEL void consume_group(const HalfOperands<1, kN>& operands, int, int groups, int,
                                          float (&sums)[kN][4]) {
    if (groups == 2) {
      begin_products<4>(operands, sums);
    } else {
      begin_products<2>(operands, sums);
    }
    simt::group_commit();
  }

 private:
  template <int kProducts, int kN>
  static HEARTH_KERNEL void begin_products(const HalfOperands<1, kN>& operands,
                                           float (&sums)[kN][4]) {
    simt::hold(sums);
    simt::group_arrive();
    const uint64_t a = simt::operand_at(operands.group_weight);
    const uint64_t b = simt::operand_at(operands.x);
    HEARTH_UNROLL
    for (int product = 0; product < kProducts; ++product)
      simt::group_multiply<kBf16>(sums, simt::behind(a, product * 32),
                                  simt::behind(b, product * 32));
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void multiply(const HalfOperands<kM, kN>& operands, int group,
                                     float (&sums)[kM][kN][4]) {
    uint32_t a[kM][2][4];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) HEARTH_UNROLL
    for (int product = 0; product < 2; ++product)
      simt::load_matrices(a[m][product], simt::shared_memory() +
                                             (operands.weight[m][0] ^ (group * 64 + product * 32)));
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      uint32_t b[2][2];
      load_column(operands, n, group, b);
      HEARTH_UNROLL
      for (int product = 0; product < 2; ++product) HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) {
        if constexpr (kBf16) {
          simt::mma_bf16(sums[m][n], a[m][product], b[product]);
        } else {
          simt::mma_f16(sums[m][n], a[m][product], b[product]);
        }
      }
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
