#pragma once
// A tile of kTileTokens tokens of one KV head against 16 rows of Q on the tensor cores of a warp:
// scores, the softmax of the tile by itself, and its weighted values. Included by .cu files after
// simt.h.
//
// Q is the sum of two f16 (kernels/cuda/half_pair.h), and so are the weights of a softmax: what the
// tensor cores multiply is Q, K, the weights and V but for 1 part in 2^21. K and V of a q8_0 cache
// are multiplied as whole numbers: a block's scale joins its 32 products of Q and K, and the weight
// of its token before that is split, in two BF16 for the sake of their range.
//
// A row of Q is a row of each product, which sees nothing of the others; what a row does not see of
// the tile has weight 0. So a row's numbers are the same whatever the other 15 are.

#include "kernels/attention/cuda_attention.h"
#include "kernels/attention/online_softmax.h"
#include "kernels/cuda/half_pair.h"

namespace hearth::kernels::HEARTH_SIMT {

inline constexpr int kQueryRows = 16;
inline constexpr int kPieceTokens = 8;  // whose rows lie next to each other in a page

/// From row to row of 16-bit values of 32 kGroups dimensions in shared memory: 8 rows that
/// load_matrices reads at a time lie in different banks.
template <int kGroups>
inline constexpr int kHeadPitch = kGroups * 64 + 16;

/// 16 rows of Q in shared memory: high parts, low parts, and what their products are multiplied by.
template <int kGroups>
struct QueryTile {
  static constexpr int kPlane = kQueryRows * kHeadPitch<kGroups>;
  static constexpr int kBytes = 2 * kPlane + kQueryRows * static_cast<int>(sizeof(float));

  /// Row `r` is q [32 kGroups], or zeros where that is null. By a warp.
  static HEARTH_KERNEL void put(unsigned char* tile, int r, const float* q, float scale) {
    float values[kGroups];
    float largest = 0.0F;
    HEARTH_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      values[g] = q == nullptr ? 0.0F : q[32 * g + simt::lane_index()];
      largest = fmaxf(largest, fabsf(values[g]));
    }
    const float unit = half_scale(simt::warp_max(largest));
    const float inverse = 1.0F / unit;
    auto* high = reinterpret_cast<uint16_t*>(tile + r * kHeadPitch<kGroups>);
    auto* low = reinterpret_cast<uint16_t*>(tile + kPlane + r * kHeadPitch<kGroups>);
    HEARTH_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      const HalfPairs pair = split_pair<false>(values[g] * inverse, 0.0F);
      high[32 * g + simt::lane_index()] = static_cast<uint16_t>(pair.high);
      low[32 * g + simt::lane_index()] = static_cast<uint16_t>(pair.low);
    }
    if (simt::lane_index() == 0) factors(tile)[r] = unit * scale;
  }
  static HEARTH_KERNEL float* factors(unsigned char* tile) {
    return reinterpret_cast<float*>(tile + 2 * kPlane);
  }

  /// 16 dimensions of all rows as the product's a, from the plane of high or low parts.
  static HEARTH_KERNEL void load(uint32_t (&a)[4], const unsigned char* plane, int step) {
    const int lane = simt::lane_index();
    simt::load_matrices(a, plane + lane % 16 * kHeadPitch<kGroups> + step * 32 + lane / 16 * 16);
  }
};

/// A tile of K or V of an f16 cache: rows at kHeadPitch.
template <int kNumGroups>
struct F16Tile {
  static constexpr int kGroups = kNumGroups;
  static constexpr bool kConverts = false;
  static constexpr bool kBf16 = false;     // of weights and V
  static constexpr float kUnit = 0x1p14F;  // what weights are multiplied by, for F16's range
  static constexpr int kStageBytes = kTileTokens * kHeadPitch<kGroups>;
  static constexpr int kReadyBytes = 0;

  /// Copies piece `piece` of the tile; `member` of `threads` threads.
  static HEARTH_KERNEL void copy_piece(unsigned char* stage, int piece, const uint8_t* from,
                                       int member, int threads) {
    constexpr int kChunks = kGroups * 4;
    unsigned char* to = stage + piece * kPieceTokens * kHeadPitch<kGroups>;
    for (int i = member; i < kPieceTokens * kChunks; i += threads)
      simt::copy_async<16>(to + i / kChunks * kHeadPitch<kGroups> + i % kChunks * 16,
                           from + i * 16);
  }
};

/// A tile of K or V of a q8_0 cache: comes as it lies in memory, then becomes whole numbers in rows
/// at kHeadPitch, F16 of K and BF16 of V, and scales [kGroups, kTileTokens].
template <int kNumGroups>
struct Q8Tile {
  static constexpr int kGroups = kNumGroups;
  static constexpr bool kConverts = true;
  static constexpr bool kBf16 = true;
  static constexpr float kUnit = 1.0F;
  static constexpr int kBlockBytes = 34;
  static constexpr int kStageBytes = kTileTokens * kGroups * kBlockBytes;
  static constexpr int kScalesAt = kTileTokens * kHeadPitch<kGroups>;
  static constexpr int kReadyBytes =
      kScalesAt + kTileTokens * kGroups * static_cast<int>(sizeof(float));
  static_assert(kStageBytes % 16 == 0 && kPieceTokens * kBlockBytes % 16 == 0);

  static HEARTH_KERNEL void copy_piece(unsigned char* stage, int piece, const uint8_t* from,
                                       int member, int threads) {
    constexpr int kBytes = kPieceTokens * kGroups * kBlockBytes;
    for (int i = member; i < kBytes / 16; i += threads)
      simt::copy_async<16>(stage + piece * kBytes + i * 16, from + i * 16);
  }

  template <bool kToBf16>
  static HEARTH_KERNEL void convert(const unsigned char* stage, unsigned char* ready, int member,
                                    int threads) {
    constexpr int kEighths = kGroups * 4;  // of 8 values in a row
    for (int i = member; i < kTileTokens * kEighths; i += threads) {
      const int token = i / kEighths;
      const int at = i % kEighths;
      const unsigned char* block = stage + (token * kGroups + at / 4) * kBlockBytes;
      const auto* codes = reinterpret_cast<const uint16_t*>(block + 2 + at % 4 * 8);
      simt::Vec16 values;
      HEARTH_UNROLL
      for (int w = 0; w < 4; ++w) values.word[w] = widen<kToBf16>(codes[w]);
      *reinterpret_cast<simt::Vec16*>(ready + token * kHeadPitch<kGroups> + at * 16) = values;
      if (at % 4 == 0)
        reinterpret_cast<float*>(ready + kScalesAt)[at / 4 * kTileTokens + token] =
            simt::half_to_float(*reinterpret_cast<const uint16_t*>(block));
    }
  }

  /// Two codes as 16-bit floats. A byte b + 128 in the low bits of 1024 (F16) or 2^23 (f32, whose
  /// upper half is a BF16) gives that number plus b + 128.
  template <bool kToBf16>
  static HEARTH_KERNEL uint32_t widen(uint32_t codes) {
    const uint32_t shifted = codes ^ 0x8080U;
    if constexpr (kToBf16) {
      constexpr float kOffset = 8388608.0F + 128.0F;
      const float first = float_from_bits(0x4B000000U | (shifted & 0xFFU)) - kOffset;
      const float second = float_from_bits(0x4B000000U | shifted >> 8) - kOffset;
      return simt::byte_permute(float_to_bits(first), float_to_bits(second), 0x7632U);
    } else {
      return simt::subtract_f16(simt::byte_permute(shifted, 0x64646464U, 0x4140U), 0x64806480U);
    }
  }

  static HEARTH_KERNEL float scale(const unsigned char* ready, int group, int token) {
    return reinterpret_cast<const float*>(ready + kScalesAt)[group * kTileTokens + token];
  }
};

/// What a lane holds of 16 rows and 32 columns: c of four products, of columns 8 n … + 7 each.
using TileSums = float[4][4];

/// A column of a tile's c: of its token, or of the dimension in its group.
HEARTH_KERNEL int column_of(int n, int i) { return n * 8 + simt::lane_index() % 4 * 2 + i % 2; }

/// What a row of Q sees of its sequence; nothing if position < begin.
struct Seen {
  int begin;
  int position;
};

template <typename Tile>
struct TileMath {
  static constexpr int kGroups = Tile::kGroups;
  using Query = QueryTile<kGroups>;

  /// Products of Q and K, without their factors.
  static HEARTH_KERNEL void dot(const unsigned char* query, const unsigned char* k,
                                TileSums& sums) {
    zero(sums);
    for (int group = 0; group < kGroups; ++group) {
      if constexpr (Tile::kConverts) {
        TileSums whole;
        zero(whole);
        dot_group(query, k, group, whole);
        for (int n = 0; n < 4; ++n)
          for (int i = 0; i < 4; ++i)
            sums[n][i] = fmaf(whole[n][i], Tile::scale(k, group, column_of(n, i)), sums[n][i]);
      } else {
        dot_group(query, k, group, sums);
      }
    }
  }

  /// Makes weights e^(score - largest) of the products, and gives the tile's softmax of the lane's
  /// two rows.
  static HEARTH_KERNEL void weigh(const AttentionArgs& args, const float (&factor)[2],
                                  const Seen (&seen)[2], int first_token, TileSums& sums,
                                  SoftmaxState (&state)[2]) {
    HEARTH_UNROLL
    for (int half = 0; half < 2; ++half) {
      float largest = minus_infinity();
      for (int n = 0; n < 4; ++n)
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          const int token = first_token + column_of(n, i);
          const bool sees = token >= seen[half].begin && token <= seen[half].position;
          const float score = capped_score(args, sums[n][i] * factor[half]);
          sums[n][i] = sees ? score : minus_infinity();
          largest = fmaxf(largest, sums[n][i]);
        }
      for (int mask = 1; mask <= 2; mask *= 2)
        largest = fmaxf(largest, simt::shuffle_xor(largest, mask));
      float sum = 0.0F;
      for (int n = 0; n < 4; ++n)
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          sums[n][i] = rescale(sums[n][i], largest);
          sum += sums[n][i];
        }
      for (int mask = 1; mask <= 2; mask *= 2) sum += simt::shuffle_xor(sum, mask);
      state[half] = {largest, sum};
    }
  }

  /// Weights as the products' a: of tokens 16 s … + 15, high and low parts.
  struct Weights {
    uint32_t high[2][4];
    uint32_t low[2][4];
  };

  /// The weights for a group of V; the same for all groups where V has no scales.
  static HEARTH_KERNEL Weights split(const TileSums& weights, const unsigned char* v, int group) {
    Weights out;
    HEARTH_UNROLL
    for (int n = 0; n < 4; ++n) HEARTH_UNROLL
    for (int half = 0; half < 2; ++half) {
      const HalfPairs pair = split_pair<Tile::kBf16>(scaled(weights, v, group, n, 2 * half),
                                                     scaled(weights, v, group, n, 2 * half + 1));
      out.high[n / 2][n % 2 * 2 + half] = pair.high;
      out.low[n / 2][n % 2 * 2 + half] = pair.low;
    }
    return out;
  }

  /// The sums over tokens of weight * V, for the 32 dimensions of `group`, times Tile::kUnit.
  static HEARTH_KERNEL void sum_values(const Weights& weights, const unsigned char* v, int group,
                                       TileSums& sums) {
    zero(sums);
    const int lane = simt::lane_index();
    HEARTH_UNROLL
    for (int step = 0; step < 2; ++step) HEARTH_UNROLL
    for (int pair = 0; pair < 2; ++pair) {
      uint32_t words[4];  // two products' b
      simt::load_matrices_transposed(words, v + (step * 16 + lane % 16) * kHeadPitch<kGroups> +
                                                group * 64 + pair * 32 + lane / 16 * 16);
      HEARTH_UNROLL
      for (int i = 0; i < 2; ++i) {
        uint32_t b[2] = {words[2 * i], words[2 * i + 1]};
        if constexpr (Tile::kBf16) {
          simt::mma_bf16(sums[2 * pair + i], weights.high[step], b);
          simt::mma_bf16(sums[2 * pair + i], weights.low[step], b);
        } else {
          // A token that a row does not see has weight 0, which an infinity would make a NaN.
          for (uint32_t& word : b) word = simt::finite_halves(word);
          simt::mma_f16(sums[2 * pair + i], weights.high[step], b);
          simt::mma_f16(sums[2 * pair + i], weights.low[step], b);
        }
      }
    }
  }

 private:
  static HEARTH_KERNEL void zero(TileSums& sums) {
    for (int n = 0; n < 4; ++n)
      for (int i = 0; i < 4; ++i) sums[n][i] = 0.0F;
  }

  static HEARTH_KERNEL float scaled(const TileSums& weights, const unsigned char* v, int group,
                                    int n, int i) {
    const float weight = weights[n][i];
    if constexpr (Tile::kConverts) {
      // What is not seen may be garbage.
      return weight == 0.0F ? 0.0F : weight * Tile::scale(v, group, column_of(n, i));
    } else {
      return weight * Tile::kUnit;
    }
  }

  static HEARTH_KERNEL void dot_group(const unsigned char* query, const unsigned char* k, int group,
                                      TileSums& sums) {
    const int lane = simt::lane_index();
    HEARTH_UNROLL
    for (int step = 2 * group; step < 2 * group + 2; ++step) {
      uint32_t high[4];
      uint32_t low[4];
      Query::load(high, query, step);
      Query::load(low, query + Query::kPlane, step);
      HEARTH_UNROLL
      for (int pair = 0; pair < 2; ++pair) {
        uint32_t words[4];  // two products' b
        simt::load_matrices(
            words, k + (pair * 16 + lane / 16 * 8 + lane % 8) * kHeadPitch<kGroups> + step * 32 +
                       lane / 8 % 2 * 16);
        HEARTH_UNROLL
        for (int i = 0; i < 2; ++i) {
          const uint32_t b[2] = {words[2 * i], words[2 * i + 1]};
          simt::mma_f16(sums[2 * pair + i], high, b);
          simt::mma_f16(sums[2 * pair + i], low, b);
        }
      }
    }
  }
};

/// Copies K (or V) of a tile: pieces that hold tokens up to `last`.
template <typename Tile>
HEARTH_KERNEL void stage_tile(const AttendArgs& args, int first_page, int kv_head, bool is_v,
                              int tile, int last, unsigned char* stage, int member, int threads) {
  const KvLayerView& kv = args.attention.kv;
  const uint8_t* head = static_cast<const uint8_t*>(kv.base) +
                        static_cast<size_t>(kv_head) * args.strides.head_bytes +
                        (is_v ? args.strides.v_offset : 0);
  for (int piece = 0; piece < kTileTokens / kPieceTokens; ++piece) {
    const int token = tile * kTileTokens + piece * kPieceTokens;
    if (token > last) return;
    const int page = args.step.pages[first_page + token / kv.page_tokens];
    Tile::copy_piece(stage, piece,
                     head + static_cast<size_t>(page) * kv.page_bytes +
                         static_cast<size_t>(token % kv.page_tokens) * args.strides.row_bytes,
                     member, threads);
  }
}

}  // namespace hearth::kernels::HEARTH_SIMT
