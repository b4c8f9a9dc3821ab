#pragma once
// HalfMatmul's format for quantized weights. Included by .cu files after simt.h.

#include "kernels/cuda/lane_unpack.h"
#include "kernels/matmul/block_format.h"
#include "kernels/matmul/half_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

/// The codes of a group of 32, less their offset, meet x as 16-bit floats: both are exact, so that
/// neither rounding nor overflow of a weight is possible. The group's products c are then scaled in
/// f32:
///   sum += scale c (- min s, where s is the sum of the group's values of x)
/// Types with a scale for 16 values do it for each half.
template <typename Block>
struct QuantizedFormat : BlockFormat<Block> {
  using Unpack = LaneUnpack<Block>;
  using BlockFormat<Block>::kBlockValues;
  using BlockFormat<Block>::kStep;
  static constexpr bool kTwoScales = Unpack::kTwoScales;
  static constexpr int kOffset = Unpack::kOffset + (Unpack::kSigned ? 128 : 0);

  static constexpr int kSplitTiles = Unpack::kScalar ? 1 : 2;
  /// Sums of x for a group.
  static constexpr int kSums = !Unpack::kMin ? 0 : (kTwoScales ? 2 : 1);

  static constexpr bool kSumPairs = false;
  /// Scales of MXFP4 have the exponents of f32.
  static constexpr float kUnit = Block::kType == DType::kMXFP4 ? 0x1p24F : 1.0F;

  template <int kX, int kM, int kN>
  static HEARTH_KERNEL void consume(const HalfOperands<kM, kN>& operands, int first_group,
                                    int groups, int quad, float (&sums)[kM][kN][4]) {
    Raw raw[kM][2];
    if constexpr (kX == kStep && !Unpack::kScalar) {
      if (groups == kX / 32) {
        HEARTH_UNROLL
        for (int group = 0; group < kX / 32; ++group) {
          if (group % 4 == 0) load_raw(operands, group / 4, quad, raw);
          multiply(operands, raw, first_group, group, quad, sums);
        }
        return;
      }
    }
    // One group's loads at a time: two groups' do not fit the registers beside 64 sums.
    load_raw(operands, first_group / 4, quad, raw);
    HEARTH_NO_UNROLL
    for (int group = 0; group < groups; ++group)
      multiply(operands, raw, first_group, group, quad, sums);
  }

  /// Weights come from registers. One group's products at a time: a batch for each 64 rows of x, so
  /// that one is scaled while the next goes on; meanwhile the other warpgroup has its own.
  template <int kN>
  static HEARTH_KERNEL void consume_group(const HalfOperands<1, kN>& operands, int first_group,
                                          int groups, int quad, float (&sums)[kN][4]) {
    Raw raw[1][2];
    load_raw(operands, first_group / 4, quad, raw);
    HEARTH_NO_UNROLL
    for (int group = 0; group < groups; ++group) {
      const LaneWeights weights =
          load_weights(operands.weight[0], raw[0], first_group + group, quad);
      if constexpr (kTwoScales) {
        multiply_group<0>(operands, weights, group, sums);
        multiply_group<1>(operands, weights, group, sums);
      } else {
        multiply_group<0>(operands, weights, group, sums);
      }
    }
  }

 private:
  /// What several groups share, where the type says so.
  static constexpr bool kHasRaw = requires { typename Unpack::Raw; };
  struct Nothing {};
  template <typename Type>
  struct RawOf {
    using type = Nothing;
  };
  template <typename Type>
  requires requires { typename Type::Raw; }
  struct RawOf<Type> {
    using type = typename Type::Raw;
  };
  using Raw = typename RawOf<Unpack>::type;

  /// What a lane needs of a tile of weights for a group: words of a for the products of both
  /// halves.
  struct LaneWeights {
    uint32_t a[2][4];
    LaneScales scales[2];
  };

  /// Of groups 4 which … + 3 of a block.
  template <int kM, int kN>
  static HEARTH_KERNEL void load_raw(const HalfOperands<kM, kN>& operands, int which, int quad,
                                     Raw (&raw)[kM][2]) {
    if constexpr (kHasRaw) {
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) HEARTH_UNROLL
      for (int i = 0; i < 2; ++i)
        raw[m][i] = Unpack::load(simt::shared_memory() + operands.weight[m][i], which, quad);
    }
  }

  static HEARTH_KERNEL LaneHalves halves_of(const uint8_t* block, int group, int quad) {
    if constexpr (requires { Unpack::halves(block, group, quad); }) {
      return Unpack::halves(block, group, quad);
    } else {
      LaneCodes codes = Unpack::codes(block, group, quad);
      if constexpr (Unpack::kSigned) {
        codes.low ^= 0x80808080U;
        codes.high ^= 0x80808080U;
      }
      return {{every_other<0>(codes.low), every_other<1>(codes.low), every_other<0>(codes.high),
               every_other<1>(codes.high)}};
    }
  }

  /// Bytes kFirst and kFirst + 2 of four codes, as two f16. 0x6400 + byte is 1024 + byte.
  template <int kFirst>
  static HEARTH_KERNEL uint32_t every_other(uint32_t codes) {
    constexpr uint32_t kSelector = kFirst == 0 ? 0x4240U : 0x4341U;
    constexpr uint32_t kZero = 0x6400U + static_cast<uint32_t>(kOffset);
    return simt::subtract_f16(simt::byte_permute(codes, 0x64646464U, kSelector),
                              kZero << 16 | kZero);
  }

  static HEARTH_KERNEL LaneWeights load_weights(const int (&rows)[2],
                                                [[maybe_unused]] const Raw (&raw)[2], int group,
                                                int quad) {
    constexpr int kGroups = kBlockValues / 32;
    LaneWeights out;
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint8_t* block =
          simt::shared_memory() + rows[i] + group / kGroups * static_cast<int>(sizeof(Block));
      LaneHalves halves;
      if constexpr (kHasRaw) {
        halves = Unpack::halves(raw[i], group % kGroups);
        out.scales[i] = Unpack::scales(raw[i], block, group % kGroups);
      } else {
        halves = halves_of(block, group % kGroups, quad);
        out.scales[i] = Unpack::scales(block, group % kGroups);
      }
      HEARTH_UNROLL
      for (int word = 0; word < 4; ++word) out.a[word / 2][word % 2 * 2 + i] = halves.word[word];
      for (float& min : out.scales[i].min) min = -min;
      if constexpr (kUnit != 1.0F)
        for (float& scale : out.scales[i].scale) scale *= 1.0F / kUnit;
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

  static HEARTH_KERNEL uint32_t load_word(const unsigned char* at) {
    return *reinterpret_cast<const uint32_t*>(at);
  }
  static HEARTH_KERNEL float sum_of_pair(uint32_t pair) {
    return simt::half_to_float(static_cast<uint16_t>(pair)) +
           simt::half_to_float(static_cast<uint16_t>(pair >> 16));
  }

  template <int kM, int kN>
  static HEARTH_KERNEL LaneSums load_sums(const HalfOperands<kM, kN>& operands, int group, int n) {
    LaneSums out{};
    HEARTH_UNROLL
    for (int half = 0; half < kSums; ++half) {
      const int at = (group * kSums + half) * operands.sum_pitch + operands.sum_row + n * 8;
      const unsigned char* sums =
          simt::shared_memory() + operands.sums + at * static_cast<int>(sizeof(float));
      if constexpr (kTwoScales) {
        out.half[half] = *reinterpret_cast<const TwoSums*>(sums);
      } else {
        for (int i = 0; i < 2; ++i) out.half[0].of_column[i] = sum_of_pair(load_word(sums + 4 * i));
      }
    }
    return out;
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void multiply(const HalfOperands<kM, kN>& operands, const Raw (&raw)[kM][2],
                                     int first_group, int group, int quad,
                                     float (&sums)[kM][kN][4]) {
    LaneWeights weights[kM];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m)
      weights[m] = load_weights(operands.weight[m], raw[m], first_group + group, quad);
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      uint32_t b[2][2];
      load_column(operands, n, group, b);
      LaneSums of_x{};
      if constexpr (kSums > 0) of_x = load_sums(operands, group, n);
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) multiply(weights[m], b, of_x, sums[m][n]);
    }
  }

  /// The products of a group, or of half kHalf of it where that has a scale of its own.
  template <int kHalf, int kN>
  static HEARTH_KERNEL void multiply_group(const HalfOperands<1, kN>& operands,
                                           const LaneWeights& weights, int group,
                                           float (&sums)[kN][4]) {
    constexpr int kTogether = kTwoScales ? 1 : kN / 8;  // as many as fit the registers
    for (const auto& a : weights.a) simt::hold(a);
    const uint64_t all = simt::operand_at(operands.x + group * 64);
    simt::multiply_in_batches<kN / 8, kTogether>(
        [&](int batch, float(&c)[8][4]) {
          const uint64_t b = simt::behind(all, batch * 64 * 128);
          simt::group_multiply_first(c, weights.a[kHalf], simt::behind(b, kHalf * 32));
          if constexpr (!kTwoScales) simt::group_multiply(c, weights.a[1], simt::behind(b, 32));
        },
        [&](int n, const float(&c)[4]) {
          LaneSums of_x{};
          if constexpr (Unpack::kMin) of_x = load_sums(operands, group, n);
          add_scaled<kHalf>(c, weights, of_x, sums[n]);
        });
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
                                     const LaneSums& of_x, float (&sums)[4]) {
    float c[4];
    simt::mma_f16_first(c, weights.a[0], b[0]);
    if constexpr (kTwoScales) {
      add_scaled<0>(c, weights, of_x, sums);
      simt::mma_f16_first(c, weights.a[1], b[1]);
      add_scaled<1>(c, weights, of_x, sums);
    } else {
      simt::mma_f16(c, weights.a[1], b[1]);
      add_scaled<0>(c, weights, of_x, sums);
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
