#pragma once
// HalfMatmul's format for quantized weights. Included by .cu files after simt.h.

#include "kernels/cuda/lane_unpack.h"
#include "kernels/matmul/half_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

/// The codes of a group of 32 meet x as 16-bit floats: both are exact, so that neither rounding nor
/// overflow of a weight is possible. The group's products c are then scaled in f32:
///   sum += scale c (- min s, where s is the sum of the group's values of x)
/// Types with a scale for 16 values do it for each half.
///
/// A byte as the low half of a 16-bit word of zeros is the subnormal f16 byte * 2^-24: no
/// arithmetic brings codes into the products, and sums of parts are multiplied by kUnit instead.
/// Codes below zero are moved up by 128; what that or the type's own offset adds to a product is
/// taken away before it begins (`start`), where the group has one scale.
template <typename Block>
struct QuantizedFormat {
  using Unpack = LaneUnpack<Block>;
  static constexpr int kBlockValues = quant::kBlockSize<Block>;
  static constexpr bool kTwoScales = Unpack::kTwoScales;
  static constexpr int kOffset = Unpack::kOffset + (Unpack::kSigned ? 128 : 0);
  static constexpr bool kStart = !kTwoScales && kOffset != 0;

  static constexpr int kStep = 256;
  static constexpr int kWideStep = kBlockValues == 256 ? 256 : 128;
  static constexpr int kSplitTiles = Unpack::kScalar ? 1 : 2;
  static constexpr int kSplitStages = 2;
  static constexpr bool kSwizzled = false;
  /// Sums of x for a group.
  static constexpr int kSums = kTwoScales ? (Unpack::kMin ? 2 : 0) : (kStart || Unpack::kMin);
  static constexpr float kUnit = kTwoScales ? 1.0F : 0x1p24F;

  template <int kValues>
  static constexpr int weight_bytes() {
    return kValues / kBlockValues * static_cast<int>(sizeof(Block));
  }
  /// Room for the misalignment; an odd number of 16 bytes, so that the 8 rows that a warp reads at
  /// a time lie in different banks.
  template <int kValues>
  static constexpr int weight_pitch() {
    return ((weight_bytes<kValues>() + 15 + 15) / 16 | 1) * 16;
  }

  template <int kX, int kM, int kN>
  static HEARTH_KERNEL void consume(const HalfOperands<kM, kN>& operands, int first_group,
                                    int groups, int quad, float (&sums)[kM][kN][4]) {
    FourScales four[kM][2];
    if constexpr (kX == kStep && !Unpack::kScalar) {
      if (groups == kX / 32) {
        HEARTH_UNROLL
        for (int group = 0; group < kX / 32; ++group) {
          if constexpr (Unpack::kFourScales)
            if (group % 4 == 0) load_four(operands, group / 4, four);
          multiply(operands, first_group, group, quad, four, sums);
        }
        return;
      }
    }
    // One group's loads at a time: two groups' do not fit the registers beside 64 sums.
    if constexpr (Unpack::kFourScales) load_four(operands, first_group / 4, four);
    HEARTH_NO_UNROLL
    for (int group = 0; group < groups; ++group) {
      if constexpr (Unpack::kFourScales && kX == kStep)
        if (group == 4) load_four(operands, 1, four);
      multiply(operands, first_group, group, quad, four, sums);
    }
  }

  /// Weights come from registers. One group's products at a time: a batch for each 64 rows of x, so
  /// that one is scaled while the next goes on; meanwhile the other warpgroup has its own.
  template <int kN>
  static HEARTH_KERNEL void consume_group(const HalfOperands<1, kN>& operands, int first_group,
                                          int groups, int quad, float (&sums)[kN][4]) {
    FourScales four[1][2];
    if constexpr (Unpack::kFourScales) load_four(operands, first_group / 4, four);
    HEARTH_NO_UNROLL
    for (int group = 0; group < groups; ++group) {
      const LaneWeights weights =
          load_weights(operands.weight[0], four[0], first_group + group, quad);
      if constexpr (kTwoScales) {
        multiply_group<0>(operands, weights, group, sums);
        multiply_group<1>(operands, weights, group, sums);
      } else {
        multiply_group<0>(operands, weights, group, sums);
      }
    }
  }

 private:
  /// What a lane needs of a tile of weights for a group: words of a for the products of both
  /// halves.
  struct LaneWeights {
    uint32_t a[2][4];
    LaneScales scales[2];
  };

  /// Bytes `first` and first + 1 of four codes, as two f16.
  template <int kFirst>
  static HEARTH_KERNEL uint32_t halves(uint32_t codes) {
    constexpr uint32_t kSelector = kFirst == 0 ? 0x4140U : 0x4342U;
    if constexpr (!kTwoScales) return simt::byte_permute(codes, 0U, kSelector);
    // 0x6400 + byte is 1024 + byte.
    constexpr uint32_t kZero = 0x6400U + static_cast<uint32_t>(kOffset);
    return simt::subtract_f16(simt::byte_permute(codes, 0x64646464U, kSelector),
                              kZero << 16 | kZero);
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void load_four(const HalfOperands<kM, kN>& operands, int which,
                                      FourScales (&four)[kM][2]) {
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      four[m][i] = four_scales(simt::shared_memory() + operands.weight[m][i], which);
      four[m][i].dmin *= -1.0F / kUnit;
    }
  }

  static HEARTH_KERNEL LaneWeights load_weights(const int (&rows)[2], const FourScales (&four)[2],
                                                int group, int quad) {
    constexpr int kGroups = kBlockValues / 32;
    LaneWeights out;
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint8_t* block =
          simt::shared_memory() + rows[i] + group / kGroups * static_cast<int>(sizeof(Block));
      LaneCodes codes = Unpack::codes(block, group % kGroups, quad);
      if constexpr (Unpack::kSigned) {
        codes.low ^= 0x80808080U;
        codes.high ^= 0x80808080U;
      }
      out.a[0][i] = halves<0>(codes.low);
      out.a[0][2 + i] = halves<2>(codes.low);
      out.a[1][i] = halves<0>(codes.high);
      out.a[1][2 + i] = halves<2>(codes.high);
      if constexpr (Unpack::kFourScales) {
        out.scales[i] = scales_of_four(four[i], group);
      } else {
        out.scales[i] = Unpack::scales(block, group % kGroups);
        for (float& min : out.scales[i].min) min *= -1.0F / kUnit;
      }
    }
    return out;
  }

  /// Sums of x of a lane's two columns of c: [half]. One load each.
  struct alignas(8) TwoSums {
    float of_column[2];
  };
  struct LaneSums {
    TwoSums half[2];
  };

  template <int kM, int kN>
  static HEARTH_KERNEL LaneSums load_sums(const HalfOperands<kM, kN>& operands, int group, int n) {
    LaneSums out{};
    HEARTH_UNROLL
    for (int half = 0; half < kSums; ++half) {
      const int at = (group * kSums + half) * operands.sum_pitch + operands.sum_row + n * 8;
      out.half[half] = *reinterpret_cast<const TwoSums*>(simt::shared_memory() + operands.sums +
                                                         at * static_cast<int>(sizeof(float)));
    }
    return out;
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void multiply(const HalfOperands<kM, kN>& operands, int first_group,
                                     int group, int quad, const FourScales (&four)[kM][2],
                                     float (&sums)[kM][kN][4]) {
    LaneWeights weights[kM];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m)
      weights[m] = load_weights(operands.weight[m], four[m], first_group + group, quad);
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      uint32_t b[2][2];
      load_column(operands, n, group, b);
      LaneSums of_x{};
      if constexpr (kSums > 0) of_x = load_sums(operands, group, n);
      float start[2] = {0.0F, 0.0F};
      if constexpr (kStart) {
        for (int i = 0; i < 2; ++i) start[i] = of_x.half[0].of_column[i] * (-kOffset / kUnit);
      }
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) multiply(weights[m], b, start, of_x, sums[m][n]);
    }
  }

  /// The products of a group, or of half kHalf of it where that has a scale of its own.
  template <int kHalf, int kN>
  static HEARTH_KERNEL void multiply_group(const HalfOperands<1, kN>& operands,
                                           const LaneWeights& weights, int group,
                                           float (&sums)[kN][4]) {
    constexpr int kBatches = kN / 8;
    float c[kBatches][8][4];
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      LaneSums of_x{};
      if constexpr (kStart) of_x = load_sums(operands, group, n);
      HEARTH_UNROLL
      for (int i = 0; i < 4; ++i)
        c[n / 8][n % 8][i] = kStart ? of_x.half[0].of_column[i % 2] * (-kOffset / kUnit) : 0.0F;
    }
    for (auto& of_batch : c) simt::hold(of_batch);
    for (const auto& a : weights.a) simt::hold(a);
    simt::group_arrive();
    HEARTH_UNROLL
    for (int batch = 0; batch < kBatches; ++batch) {
      const int x = operands.x + batch * 64 * 128 + group * 64;
      simt::group_multiply(c[batch], weights.a[kHalf], x + kHalf * 32);
      if constexpr (!kTwoScales) simt::group_multiply(c[batch], weights.a[1], x + 32);
      simt::group_commit();
    }
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      if (n % 8 == 0) {
        if (n / 8 + 1 < kBatches) simt::group_wait<1>();
        if (n / 8 + 1 == kBatches) simt::group_wait<0>();
        simt::hold(c[n / 8]);
      }
      LaneSums of_x{};
      if constexpr (Unpack::kMin) of_x = load_sums(operands, group, n);
      add_scaled<kHalf>(c[n / 8][n % 8], weights, of_x, sums[n]);
    }
  }

  template <int kHalf>
  static HEARTH_KERNEL void add_scaled(const float (&c)[4], const LaneWeights& weights,
                                       const LaneSums& of_x, float (&sums)[4]) {
    HEARTH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const LaneScales& scales = weights.scales[i / 2];
      sums[i] = fmaf(c[i], scales.scale[kHalf], sums[i]);
      if constexpr (Unpack::kMin)
        sums[i] = fmaf(scales.min[kHalf], of_x.half[kHalf].of_column[i % 2], sums[i]);
    }
  }

  static HEARTH_KERNEL void multiply(const LaneWeights& weights, const uint32_t (&b)[2][2],
                                     const float (&start)[2], const LaneSums& of_x,
                                     float (&sums)[4]) {
    float c[4];
    simt::mma_f16_from(c, weights.a[0], b[0], start);
    if constexpr (kTwoScales) {
      add_scaled<0>(c, weights, of_x, sums);
      simt::mma_f16_from(c, weights.a[1], b[1], start);
      add_scaled<1>(c, weights, of_x, sums);
    } else {
      simt::mma_f16(c, weights.a[1], b[1]);
      add_scaled<0>(c, weights, of_x, sums);
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
