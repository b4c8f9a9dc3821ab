#pragma once
// TensorMatmul's format for quantized weights and int8 activations. Included by .cu files after
// simt.h.

#include "kernels/cuda/lane_unpack.h"
#include "kernels/matmul/tensor_matmul.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Per group of 32 the integers are exact. With the products of 16 values d0, d1 (or d of 32):
///   t = scale0 d0 (+ scale1 d1) (- min sum, for the minima), sum += t * scale of x's group
/// in f32, fused as written below.
template <typename Block>
struct QuantizedFormat {
  using Unpack = LaneUnpack<Block>;
  static constexpr int kStep = 256;
  static constexpr int kBlockValues = quant::kBlockSize<Block>;
  static constexpr int kWeightBytes = kStep / kBlockValues * static_cast<int>(sizeof(Block));
  // Room for the misalignment; an odd number of 16 bytes, so that the 8 rows that a warp reads at a
  // time lie in different banks.
  static constexpr int kWeightPitch = ((kWeightBytes + 15 + 15) / 16 | 1) * 16;
  // Codes, scales of 8 groups, sums of 16 halves; 3 * 32 bytes beyond a multiple of 128, so that
  // the four rows that half a warp reads at a time lie in different banks.
  static constexpr int kPlanes = 3;
  static constexpr int kPlanePitch = 352;

  static HEARTH_KERNEL int plane_offset(int p) { return p == 0 ? 0 : p == 1 ? 256 : 288; }
  static HEARTH_KERNEL int plane_step(int p) { return p == 0 ? 256 : 32; }
  static HEARTH_KERNEL int plane_copy(int p) { return p == 0 ? 16 : 4; }
  static HEARTH_KERNEL int plane_bytes(int p, int values) { return p == 0 ? values : values / 8; }

  /// A group's part of a sum but for x's scale, from its halves' products and sums of x.
  static HEARTH_KERNEL float scaled_group(const int32_t (&dots)[2], const int32_t (&sums)[2],
                                          const LaneScales& scales) {
    if constexpr (Unpack::kTwoScales) {
      float t = static_cast<float>(dots[0] - Unpack::kOffset * sums[0]) * scales.scale[0];
      t = fmaf(static_cast<float>(dots[1] - Unpack::kOffset * sums[1]), scales.scale[1], t);
      if constexpr (Unpack::kMin) {
        t = fmaf(-scales.min[0], static_cast<float>(sums[0]), t);
        t = fmaf(-scales.min[1], static_cast<float>(sums[1]), t);
      }
      return t;
    } else {
      const int32_t sum = sums[0] + sums[1];
      float t = static_cast<float>(dots[0] + dots[1] - Unpack::kOffset * sum) * scales.scale[0];
      if constexpr (Unpack::kMin) t = fmaf(-scales.min[0], static_cast<float>(sum), t);
      return t;
    }
  }

  template <int kM, int kN>
  struct Operands {
    const unsigned char* weight[kM][2];   // a lane's rows `row` and `row` + 8
    const unsigned char* column[kN];      // its row of x as a column of b
    const unsigned char* sum_row[kN][2];  // its rows of x as columns of c
  };

  template <int kM, int kN>
  static HEARTH_KERNEL void consume(const Operands<kM, kN>& operands, int groups, int quad,
                                    float (&sums)[kM][kN][4]) {
    for (int pair = 0; pair < kStep / 64; ++pair) {
      HEARTH_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int group = 2 * pair + half;
        if (group < groups) multiply_group(operands, group, quad, sums);
      }
    }
  }

 private:
  // An integer n added to these bits gives the bits of 1.5 * 2^23 + n while |n| < 2^22: products
  // that begin here are floats when they end. 32 * 127 * 128 stays below.
  static constexpr int32_t kFloatBits = 0x4B400000;
  static constexpr float kFloatOffset = 12582912.0F;

  static HEARTH_KERNEL float to_float(int32_t bits) {
    return float_from_bits(static_cast<uint32_t>(bits)) - kFloatOffset;
  }

  struct LaneWeights {
    uint32_t a[4];
    LaneScales scales[2];
  };

  static HEARTH_KERNEL LaneWeights load_weights(const unsigned char* const (&rows)[2], int group,
                                                int quad) {
    constexpr int kGroups = kBlockValues / 32;
    LaneWeights out;
    for (int i = 0; i < 2; ++i) {
      const uint8_t* block = rows[i] + group / kGroups * static_cast<int>(sizeof(Block));
      const LaneCodes codes = Unpack::codes(block, group % kGroups, quad);
      out.a[i] = codes.low;
      out.a[2 + i] = codes.high;
      out.scales[i] = Unpack::scales(block, group % kGroups);
    }
    return out;
  }

  /// What a lane needs of the two rows of x whose sums it holds.
  struct LaneRows {
    float scale[2];
    int32_t sum[2][2];  // [row][half]
  };

  static HEARTH_KERNEL LaneRows load_rows(const unsigned char* const (&rows)[2], int group) {
    LaneRows out;
    for (int i = 0; i < 2; ++i) {
      out.scale[i] = reinterpret_cast<const float*>(rows[i] + 256)[group];
      if constexpr (Unpack::kOffset != 0 || Unpack::kMin) {
        const uint32_t both = reinterpret_cast<const uint32_t*>(rows[i] + 288)[group];
        out.sum[i][0] = static_cast<int16_t>(both);
        out.sum[i][1] = static_cast<int16_t>(both >> 16);
      }
    }
    return out;
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void multiply_group(const Operands<kM, kN>& operands, int group, int quad,
                                           float (&sums)[kM][kN][4]) {
    LaneWeights weights[kM];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) weights[m] = load_weights(operands.weight[m], group, quad);
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      const LaneRows rows = load_rows(operands.sum_row[n], group);
      const auto* words =
          reinterpret_cast<const uint32_t*>(operands.column[n] + 32 * group + 8 * quad);
      const uint32_t b[2] = {words[0], words[1]};
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) multiply(weights[m], rows, b, sums[m][n]);
    }
  }

  static HEARTH_KERNEL void multiply(const LaneWeights& weights, const LaneRows& rows,
                                     const uint32_t (&b)[2], float (&sums)[4]) {
    if constexpr (Unpack::kTwoScales) {
      int32_t low[4];
      int32_t high[4];
      for (int i = 0; i < 4; ++i) {
        low[i] = begin_at(rows, i % 2, 0);
        high[i] = begin_at(rows, i % 2, 1);
      }
      simt::mma_s8_k16(low, weights.a[0], weights.a[1], b[0]);
      simt::mma_s8_k16(high, weights.a[2], weights.a[3], b[1]);
      for (int i = 0; i < 4; ++i) {
        const LaneScales& scales = weights.scales[i / 2];
        float t = to_float(low[i]) * scales.scale[0];
        t = fmaf(to_float(high[i]), scales.scale[1], t);
        if constexpr (Unpack::kMin) {
          t = fmaf(-scales.min[0], static_cast<float>(rows.sum[i % 2][0]), t);
          t = fmaf(-scales.min[1], static_cast<float>(rows.sum[i % 2][1]), t);
        }
        sums[i] = fmaf(t, rows.scale[i % 2], sums[i]);
      }
    } else {
      int32_t dots[4];
      for (int i = 0; i < 4; ++i) dots[i] = begin_at(rows, i % 2, 2);
      simt::mma_s8_k32(dots, weights.a, b);
      for (int i = 0; i < 4; ++i) {
        const LaneScales& scales = weights.scales[i / 2];
        float t = to_float(dots[i]) * scales.scale[0];
        if constexpr (Unpack::kMin)
          t = fmaf(-scales.min[0], static_cast<float>(rows.sum[i % 2][0] + rows.sum[i % 2][1]), t);
        sums[i] = fmaf(t, rows.scale[i % 2], sums[i]);
      }
    }
  }

  /// Where a product begins: what the codes' offset takes from it. `half` 2 stands for both.
  static HEARTH_KERNEL int32_t begin_at(const LaneRows& rows, int row, int half) {
    if constexpr (Unpack::kOffset == 0) return kFloatBits;
    const int32_t sum = half == 2 ? rows.sum[row][0] + rows.sum[row][1] : rows.sum[row][half];
    return kFloatBits - Unpack::kOffset * sum;
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
