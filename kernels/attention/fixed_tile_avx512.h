#pragma once
// A tile of K and V as int16, for attention in fixed point (fixed_attention_avx512.h). Included
// after the vector type and attention_tiles.inc.
//
// Each token's K, and its V, is a row of whole numbers of up to 13 bits times one scale, from the
// row's largest magnitude: what is lost is half a 8190th of that, less than f16 loses itself on
// values near it. A row depends on its token alone, so that a tile is the same for all who see it.

#include "kernels/kv_store/kv_layout.h"

namespace hearth::kernels::avx512 {

// 32 products of two numbers up to 8191, as a tile's weighted sum has, fit an int32.
inline constexpr float kFixedMax = 8190.0F;
// Added to a float of magnitude below 2^22, leaves it rounded to nearest even in the low bits.
inline constexpr float kRoundingMagic = 0x1.8p23F;
inline constexpr int kGroupDims = 32;  // of a vector of int16
inline constexpr __mmask32 kOddWords = 0xAAAAAAAAU;
inline constexpr __mmask64 kOddBytes = 0xAAAAAAAAAAAAAAAAU;

// From a token's K to the next, in int16: constant, so that 16 tokens need no more than one address
// register, and with a line to spare, so that they fall into different sets of L1.
inline constexpr int kKeyStride = kTileHeadDim + kGroupDims;

struct FixedTile {
  // [kTileTokens, kKeyStride]; pair j of each group of 32 is dims j and j + 16.
  alignas(64) int16_t k[kTileTokens * kKeyStride];
  // [kTileTokens / 2, dims padded to 16, 2]: tokens 2i and 2i + 1 of each dim.
  alignas(64) int16_t v[kTileTokens * kTileHeadDim];
  alignas(64) float k_scale[kTileTokens];
  alignas(64) float v_scale[kTileTokens];  // at least 0, or NaN
};

/// Dims as they are stored in FixedTile::k and ::v: the rest is 0.
inline int padded_k(int head_dim) { return (head_dim + kGroupDims - 1) / kGroupDims * kGroupDims; }
inline int padded_v(int head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }

/// Pairs (a, b) of int16 from floats that kRoundingMagic was added to.
inline __m512i pair_words(__m512 low, __m512 high) {
  return _mm512_mask_blend_epi16(kOddWords, _mm512_castps_si512(low),
                                 _mm512_slli_epi32(_mm512_castps_si512(high), 16));
}
inline __m512 fix(Vec x, Vec factor) { return fma(x, factor, set1(kRoundingMagic)).v; }

/// 8190 / largest, or 0 for a row of zeros.
inline Vec fixing_factor(Vec largest) {
  const __mmask16 nonzero = _mm512_cmp_ps_mask(largest.v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
  return {_mm512_maskz_div_ps(nonzero, _mm512_set1_ps(kFixedMax), largest.v)};
}

/// The lane-wise larger of non-negative floats; NaN is the largest of all.
inline Vec larger_magnitude(Vec a, Vec b) {
  return {
      _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v)))};
}

/// The largest words of each of 16 vectors of 32.
inline __m256i largest_words(__m512i (&rows)[16]) {
  const auto halve = [](__m512i low, __m512i high) { return _mm512_max_epu16(low, high); };
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i)
    rows[i] = halve(_mm512_unpacklo_epi16(rows[2 * i], rows[2 * i + 1]),
                    _mm512_unpackhi_epi16(rows[2 * i], rows[2 * i + 1]));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    rows[i] = halve(_mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]),
                    _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    rows[i] = halve(_mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1]),
                    _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]));
  // 8 rows in each quarter of either; quarters 0, 2 with 1, 3, then the two that are left.
  const __m512i quarters = halve(_mm512_shuffle_i64x2(rows[0], rows[1], 0x88),
                                 _mm512_shuffle_i64x2(rows[0], rows[1], 0xDD));
  const __m512i whole = halve(quarters, _mm512_shuffle_i64x2(quarters, quarters, 0xB1));
  return _mm512_castsi512_si256(
      _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 4, 5, 0, 1, 4, 5), whole));
}

/// Rows in f16.
struct FixF16 {
  /// What a row is multiplied with on its way to int16; before measure(), its largest magnitude.
  struct Rows {
    alignas(64) float factor[kTileTokens];
  };

  static __m512i magnitudes(__m512i words) {
    return _mm512_and_si512(words, _mm512_set1_epi16(0x7FFF));
  }
  /// The largest words of a row, in 32 lanes.
  static __m512i largest_of(const uint8_t* row, int head_dim) {
    __m512i most = _mm512_setzero_si512();
    int d = 0;
    for (; d + kGroupDims <= head_dim; d += kGroupDims)
      most = _mm512_max_epu16(most, magnitudes(_mm512_loadu_si512(row + 2 * d)));
    if (d < head_dim)
      most = _mm512_max_epu16(
          most, magnitudes(_mm512_maskz_loadu_epi16(_bzhi_u32(~0U, head_dim - d), row + 2 * d)));
    return most;
  }

  /// Reads what decides the scales of the rows in `range`; those of the others are 0.
  static void gather(TileRows rows, TileRange range, int head_dim, Rows& fixed) {
    for (int first = 0; first < kTileTokens; first += 16) {
      __m512i most[16];
      const uint8_t* base = rows.base + static_cast<size_t>(first) * rows.row_bytes;
      if (range.begin <= first && range.end >= first + 16) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i)
          most[i] = largest_of(base + static_cast<size_t>(i) * rows.row_bytes, head_dim);
      } else {
        for (int i = 0; i < 16; ++i)
          most[i] = first + i >= range.begin && first + i < range.end
                        ? largest_of(base + static_cast<size_t>(i) * rows.row_bytes, head_dim)
                        : _mm512_setzero_si512();
      }
      store(fixed.factor + first, {_mm512_cvtph_ps(largest_words(most))});
    }
  }

  /// The scales, and what the rows are multiplied with.
  static void measure(int, Rows& fixed, float* scale) {
    for (int t = 0; t < kTileTokens; t += kLanes) {
      const Vec largest = load(fixed.factor + t);
      store(fixed.factor + t, fixing_factor(largest));
      store(scale + t, largest * set1(1.0F / kFixedMax));
    }
  }

  static void fix_key(const Rows& fixed, const uint8_t* row, int token, int head_dim, int16_t* to) {
    const Vec factor = set1(fixed.factor[token]);
    int d = 0;
    for (; d + kGroupDims <= head_dim; d += kGroupDims)
      _mm512_store_si512(to + d, pair_words(fix(load_f16(row + 2 * d), factor),
                                            fix(load_f16(row + 2 * (d + kLanes)), factor)));
    if (d == head_dim) return;
    const int n = head_dim - d;
    _mm512_store_si512(
        to + d,
        pair_words(fix(load_f16_partial(row + 2 * d, min_int(n, kLanes)), factor),
                   fix(load_f16_partial(row + 2 * (d + kLanes), max_int(n - kLanes, 0)), factor)));
  }

  static void fix_values(const Rows& fixed, const uint8_t* row, size_t row_bytes, int token,
                         int head_dim, int16_t* to) {
    const Vec factor = set1(fixed.factor[token]);
    const Vec next_factor = set1(fixed.factor[token + 1]);
    int d = 0;
    for (; d + kLanes <= head_dim; d += kLanes)
      _mm512_store_si512(to + 2 * d,
                         pair_words(fix(load_f16(row + 2 * d), factor),
                                    fix(load_f16(row + row_bytes + 2 * d), next_factor)));
    if (d == head_dim) return;
    const int n = head_dim - d;
    _mm512_store_si512(to + 2 * d,
                       pair_words(fix(load_f16_partial(row + 2 * d, n), factor),
                                  fix(load_f16_partial(row + row_bytes + 2 * d, n), next_factor)));
  }
};

/// Rows in q8_0: bytes times 64, and times how much smaller their block's scale is than the row's
/// largest.
struct FixQ8 {
  struct Rows {
    alignas(64) int16_t ratio[kTileHeadDim / Q8Row::kBlock][kTileTokens];    // 8192: 1
    alignas(64) uint16_t scales[kTileHeadDim / Q8Row::kBlock][kTileTokens];  // of blocks, f16
  };

  static void gather(TileRows rows, TileRange range, int head_dim, Rows& fixed) {
    const int blocks = head_dim / Q8Row::kBlock;
    if (range.begin > 0 || range.end < kTileTokens)
      __builtin_memset(fixed.scales, 0, sizeof fixed.scales);
    for (int t = range.begin; t < range.end; ++t)
      for (int b = 0; b < blocks; ++b)
        __builtin_memcpy(&fixed.scales[b][t],
                         rows.base + static_cast<size_t>(t) * rows.row_bytes +
                             static_cast<size_t>(b * Q8Row::kBlockBytes),
                         sizeof(uint16_t));
  }

  static void measure(int head_dim, Rows& fixed, float* scale) {
    const int blocks = head_dim / Q8Row::kBlock;
    for (int t = 0; t < kTileTokens; t += kLanes) {
      Vec largest = zero();
      for (int b = 0; b < blocks; ++b)
        largest = larger_magnitude(largest, abs(load_f16(&fixed.scales[b][t])));
      const __mmask16 nonzero = _mm512_cmp_ps_mask(largest.v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
      const Vec to_ratio = {_mm512_maskz_div_ps(nonzero, _mm512_set1_ps(8192.0F), largest.v)};
      for (int b = 0; b < blocks; ++b) {
        const __m512i ratio = _mm512_cvtps_epi32((load_f16(&fixed.scales[b][t]) * to_ratio).v);
        _mm256_store_si256(reinterpret_cast<__m256i*>(&fixed.ratio[b][t]),
                           _mm512_cvtepi32_epi16(ratio));
      }
      store(scale + t, largest * set1(1.0F / 64.0F));
    }
  }

  static __m256i bytes(const uint8_t* row, int block) {
    return _mm256_loadu_si256(
        reinterpret_cast<const __m256i*>(row + block * Q8Row::kBlockBytes + sizeof(uint16_t)));
  }
  /// bytes[from], bytes[to] pairs into the upper halves of words, times their ratios.
  static __m512i scaled(__m512i bytes, __m512i order, __m512i ratio) {
    return _mm512_mulhrs_epi16(_mm512_maskz_permutexvar_epi8(kOddBytes, order, bytes), ratio);
  }
  /// Word 2j from byte first + j, word 2j + 1 from byte second + j.
  static __m512i pair_order(int first, int second) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i low = _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(first)), 8);
    const __m512i high = _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(second)), 24);
    return _mm512_or_si512(low, high);
  }

  static void fix_key(const Rows& fixed, const uint8_t* row, int token, int head_dim, int16_t* to) {
    const __m512i order = pair_order(0, 16);
    for (int b = 0; b < head_dim / Q8Row::kBlock; ++b)
      _mm512_store_si512(to + b * Q8Row::kBlock,
                         scaled(_mm512_castsi256_si512(bytes(row, b)), order,
                                _mm512_set1_epi16(fixed.ratio[b][token])));
  }

  static void fix_values(const Rows& fixed, const uint8_t* row, size_t row_bytes, int token,
                         int head_dim, int16_t* to) {
    const __m512i order = pair_order(0, 32);
    const __m512i next_order = pair_order(16, 48);
    for (int b = 0; b < head_dim / Q8Row::kBlock; ++b) {
      const __m512i both =
          _mm512_inserti64x4(_mm512_castsi256_si512(bytes(row, b)), bytes(row + row_bytes, b), 1);
      int32_t ratios;
      __builtin_memcpy(&ratios, &fixed.ratio[b][token], sizeof ratios);
      const __m512i ratio = _mm512_set1_epi32(ratios);
      int16_t* at = to + 2 * b * Q8Row::kBlock;
      _mm512_store_si512(at, scaled(both, order, ratio));
      _mm512_store_si512(at + 32, scaled(both, next_order, ratio));
    }
  }
};

// How often the making of a tile asks for lines: every second token of K, then of V.
inline constexpr int kFixAsks = kTileTokens;

/// Fills tile.k from the rows in `range`; the others become 0.
template <typename Fix>
__attribute__((always_inline)) inline void fix_keys(const typename Fix::Rows& fixed, TileRows k,
                                                    TileRange range, int head_dim, FixedTile& tile,
                                                    Ahead& ahead) {
  const size_t lines = ahead.lines_of_part(kFixAsks);
  for (int t = 0; t < kTileTokens; ++t) {
    if (t % 2 == 0) ahead.ask_lines(lines);
    int16_t* to = tile.k + t * kKeyStride;
    if (t >= range.begin && t < range.end)
      Fix::fix_key(fixed, k.base + static_cast<size_t>(t) * k.row_bytes, t, head_dim, to);
    else
      __builtin_memset(to, 0, sizeof(int16_t) * static_cast<size_t>(padded_k(head_dim)));
  }
}

/// The same for tile.v. Rows whose pair is not whole are read through a copy.
template <typename Fix>
__attribute__((always_inline)) inline void fix_values(const typename Fix::Rows& fixed, TileRows v,
                                                      TileRange range, int head_dim,
                                                      FixedTile& tile, Ahead& ahead) {
  const int stride = 2 * padded_v(head_dim);
  const size_t lines = ahead.lines_of_part(kFixAsks);
  for (int t = 0; t < kTileTokens; t += 2) {
    ahead.ask_lines(lines);
    int16_t* to = tile.v + t / 2 * stride;
    const uint8_t* row = v.base + static_cast<size_t>(t) * v.row_bytes;
    if (t >= range.begin && t + 1 < range.end) {
      Fix::fix_values(fixed, row, v.row_bytes, t, head_dim, to);
    } else if (t + 1 >= range.begin && t < range.end) {
      alignas(64) uint8_t pair[2 * kTileHeadDim * sizeof(uint16_t)] = {};
      const bool second = t < range.begin;
      __builtin_memcpy(pair + (second ? v.row_bytes : 0), row + (second ? v.row_bytes : 0),
                       v.row_bytes);
      Fix::fix_values(fixed, pair, v.row_bytes, t, head_dim, to);
    } else {
      __builtin_memset(to, 0, sizeof(int16_t) * static_cast<size_t>(stride));
    }
  }
}

/// Fills the tile from the rows in `range` of K and V. kDims is the head_dim, or 0 for any: the
/// usual ones have loops of constant length. What is gathered word by word is in L1 before it is
/// read as vectors. Asks for the lines of `ahead` meanwhile.
template <typename Fix, int kDims>
inline void fix_tile(TileRows k, TileRows v, TileRange range, int any_dim, FixedTile& tile,
                     Ahead& ahead) {
  const int head_dim = kDims > 0 ? kDims : any_dim;
  typename Fix::Rows keys;
  typename Fix::Rows values;
  Fix::gather(k, range, head_dim, keys);
  Fix::gather(v, range, head_dim, values);
  Fix::measure(head_dim, keys, tile.k_scale);
  Fix::measure(head_dim, values, tile.v_scale);
  fix_keys<Fix>(keys, k, range, head_dim, tile, ahead);
  fix_values<Fix>(values, v, range, head_dim, tile, ahead);
}

}  // namespace hearth::kernels::avx512
