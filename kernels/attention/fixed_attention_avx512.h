#pragma once
// Attention over a cache in f16 or q8_0 with AVX-512 VNNI. Included after the vector type and
// attention.inc.
//
// Scores and weighted sums are products of int16, summed in int32 without rounding: for prompts
// twice as fast as f32 would be, and the same whatever shape the loops have. q becomes int16 once
// for a block of queries, K and V once for each tile (fixed_tile_avx512.h), the weights of a tile
// as they come out of the softmax.
//
// A tile is folded by itself: its own maximum, weights relative to that, their sum, and the
// weighted sum of V; then that is added to what was before. So small weights keep their digits
// however large others were.

#include "kernels/attention/fixed_tile_avx512.h"
// after it
#include "kernels/attention/fixed_lanes_avx512.h"

namespace hearth::kernels::avx512 {

// As many as share a tile while q, sums and tile stay in L2 with a head of 256, and in 40 KiB of
// L1 with one of 64.
inline constexpr int kFixedQueries = 64;
// Making the tile costs about as much time as folding it into these (f16: 200 ns and 120 ns): for
// fewer, a further thread gains nothing.
inline constexpr int kLeastFixedQueries = 4;
// Loops that keep 16 sums in registers: inlined into a larger function, GCC 12 keeps them in
// memory.
#define HEARTH_OWN_REGISTERS __attribute__((noinline))
inline constexpr float kLog2E = 0x1.715476p+0F;
// Scores of tokens that a query does not see, and the maximum before the first tile.
inline constexpr float kNoScore = -__FLT_MAX__;

/// 2^x for x <= 0, to within 3e-6; exactly 1 at 0. NaN for NaN.
inline Vec exp2_of(Vec x) {
  // 2^r for r in [0, 1), what x is above the whole number below it; least largest error.
  const Vec r = {_mm512_reduce_ps(x.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
  Vec p = fma(set1(0x1.b7f730p-7F), r, set1(0x1.abf868p-5F));
  p = fma(p, r, set1(0x1.ee2450p-3F));
  p = fma(p, r, set1(0x1.62d6c6p-1F));
  p = fma(p, r, set1(1.0F));
  return {_mm512_scalef_ps(p.v, x.v)};
}

/// Up to 16 queries whose scores share vectors, and what is known of each so far. Lanes of the
/// arrays are score lanes: those of one query are equal.
struct FixedBlock {
  int first = 0;  // number of its first query in the item
  int count = 0;  // queries; the lanes of others repeat the last one's
  int lanes = 0;  // the Q of Lanes
  alignas(64) int16_t q[kLanes * kTileHeadDim];
  alignas(64) float q_scale[kLanes];  // score = product * q_scale * k_scale, times log2(e)
  alignas(64) float maximum[kLanes];
  alignas(64) float sum[kLanes];
  alignas(64) int32_t oldest[kLanes];  // the first position it sees
  alignas(64) int32_t newest[kLanes];  // the position it is at
};

/// What a thread needs for an item; on its stack.
struct FixedItem {
  FixedTile tile;
  FixedBlock blocks[kFixedQueries / kLanes];
  alignas(64) float out[kFixedQueries * kTileHeadDim];    // [query, padded_v]
  alignas(64) float scores[kLanes * kTileTokens];         // of one block: then weights
  alignas(64) int32_t weights[kLanes * kTileTokens / 2];  // pairs of int16
  alignas(64) float correction[kLanes];
  alignas(64) float gain[kLanes];
};

/// f(Lanes<Q>) for the Q of a block.
template <typename F>
inline void with_lanes(int queries, const F& f) {
  switch (queries) {
    case 1:
      return f(Lanes<1>{});
    case 4:
      return f(Lanes<4>{});
    case 8:
      return f(Lanes<8>{});
    default:
      return f(Lanes<16>{});
  }
}

/// q as int16 in the lanes of query `index`; returns what an int16 stands for.
template <int Q>
inline float fix_query(const float* q, int head_dim, int index, FixedBlock& block) {
  Vec magnitudes = zero();
  Vec largest = zero();
  for (int d = 0; d < head_dim; d += kLanes) {
    const Vec x = abs(load_partial(q + d, min_int(kLanes, head_dim - d)));
    magnitudes = magnitudes + x;
    largest = max(x, largest);
  }
  // With sum(|q|) below 261,000 + 128 of roundings and |k| <= 8192, no sum of products exceeds an
  // int32.
  const float by_largest = 32700.0F / max_lane(largest);
  const float by_sum = 261000.0F / sum(magnitudes);
  const float factor = sum(magnitudes) == 0.0F ? 0.0F : by_largest < by_sum ? by_largest : by_sum;
  alignas(64) int32_t pairs[kTileHeadDim / 2];
  for (int d = 0; d < head_dim; d += kGroupDims) {
    const auto at = [&](int from) {
      const int n = max_int(0, min_int(kLanes, head_dim - from));
      return fix(load_partial(q + from, n), set1(factor));
    };
    _mm512_store_si512(pairs + d / 2, pair_words(at(d), at(d + kLanes)));
  }
  constexpr int kParts = Lanes<Q>::kParts;
  auto* to = reinterpret_cast<int32_t*>(block.q);
  for (int j = 0; j < padded_k(head_dim) / 2; ++j)
    to[j / kParts * kLanes + index * kParts + j % kParts] = pairs[j];
  return sum(magnitudes) == 0.0F ? 0.0F : 1.0F / factor;
}

template <int Q>
inline void load_block(const AttentionArgs& args, const AttentionItem& item, FixedBlock& block) {
  const int head_dim = args.kv.head_dim;
  for (int i = 0; i < Q; ++i) {
    const int query = block.first + min_int(i, block.count - 1);
    const float* q =
        args.q + query_row(item, query) * args.q_stride + query_offset(args, item, query);
    const float scale = fix_query<Q>(q, head_dim, i, block) * args.scale;
    const int position = item.sequence->first_position + item.first_row + query / item.num_heads;
    for (int part = 0; part < Lanes<Q>::kParts; ++part) {
      const int lane = Lanes<Q>::score_lane(i, part);
      block.q_scale[lane] = args.softcap > 0.0F ? scale : scale * kLog2E;
      block.maximum[lane] = kNoScore;
      block.sum[lane] = 0.0F;
      block.newest[lane] = position;
      block.oldest[lane] = visible(args, position, 0, position + 1).begin;
    }
  }
}

/// Cuts the queries of an item into blocks; returns their number.
inline int load_blocks(const AttentionArgs& args, const AttentionItem& item, FixedItem& work) {
  const int queries = item.num_rows * item.num_heads;
  int count = 0;
  for (int first = 0; first < queries; first += kLanes, ++count) {
    FixedBlock& block = work.blocks[count];
    block.first = first;
    block.count = min_int(kLanes, queries - first);
    block.lanes = block.count == 1 ? 1 : block.count <= 4 ? 4 : block.count <= 8 ? 8 : 16;
    with_lanes(block.lanes, [&]<int Q>(Lanes<Q>) { load_block<Q>(args, item, block); });
  }
  const auto values = static_cast<size_t>(count * kLanes * padded_v(args.kv.head_dim));
  __builtin_memset(work.out, 0, values * sizeof(float));
  return count;
}

/// Sums of products of 16 tokens' keys.
template <int Q>
inline void multiply_keys(const int16_t* q, const int16_t* k, int dims, __m512i (&sums)[16]) {
  constexpr int kStep = 2 * Lanes<Q>::kParts;  // dims
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) sums[t] = _mm512_setzero_si512();
  for (int d = 0; d < dims; d += kStep) {
    const __m512i queries = _mm512_load_si512(q + d * Q);
#pragma GCC unroll 16
    for (int t = 0; t < 16; ++t) Lanes<Q>::add_keys(sums[t], queries, k + t * kKeyStride + d);
  }
}

/// Which tokens of a tile each lane sees: [begin, end).
struct LaneRange {
  __m512i begin;
  __m512i end;

  template <int Q>
  [[nodiscard]] __mmask16 sees(int vector) const {
    alignas(64) static constexpr int32_t kNumbers[kTileTokens] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    const __m512i token = Lanes<Q>::tokens(kNumbers + vector * Lanes<Q>::kParts);
    return _mm512_cmple_epi32_mask(begin, token) & _mm512_cmplt_epi32_mask(token, end);
  }
};

/// Scores of the tile, as powers of two; returns each query's largest.
template <int Q, bool kAll>
HEARTH_OWN_REGISTERS inline Vec score_tile(const FixedBlock& block, const FixedTile& tile, int dims,
                                           float softcap, LaneRange range, float* scores) {
  const Vec q_scale = load(block.q_scale);
  Vec largest = set1(kNoScore);
  for (int first = 0; first < kTileTokens; first += 16) {
    __m512i sums[16];
    multiply_keys<Q>(block.q, tile.k + first * kKeyStride, dims, sums);
    __m512i products[Q];
    Lanes<Q>::add_parts(sums, products);
#pragma GCC unroll 16
    for (int i = 0; i < Q; ++i) {
      const int token = first + i * Lanes<Q>::kParts;
      Vec score =
          Vec{_mm512_cvtepi32_ps(products[i])} * q_scale * Lanes<Q>::tokens(tile.k_scale + token);
      if (softcap > 0.0F) score = soft_cap(score, softcap) * set1(kLog2E);
      if constexpr (!kAll)
        score.v = _mm512_mask_mov_ps(_mm512_set1_ps(kNoScore),
                                     range.sees<Q>(token / Lanes<Q>::kParts), score.v);
      store(scores + token * Q, score);
      largest = max(score, largest);
    }
  }
  return Lanes<Q>::fold_tokens(largest, [](Vec a, Vec b) { return max(a, b); });
}

/// The largest scale of V among the tokens that each query sees.
template <int Q, bool kAll>
inline Vec largest_value_scale(const FixedTile& tile, LaneRange range) {
  if constexpr (kAll) {
    return Lanes<1>::fold_tokens(larger_magnitude(load(tile.v_scale), load(tile.v_scale + kLanes)),
                                 larger_magnitude);
  } else {
    Vec largest = zero();
    for (int v = 0; v < Lanes<Q>::kVectors; ++v) {
      const Vec scale = Lanes<Q>::tokens(tile.v_scale + v * Lanes<Q>::kParts);
      largest = larger_magnitude(largest, {_mm512_maskz_mov_ps(range.sees<Q>(v), scale.v)});
    }
    return Lanes<Q>::fold_tokens(largest, larger_magnitude);
  }
}

/// Weights 2^(score - largest) in place of the scores, as int16 with `factor` and V's scales in
/// them; returns each query's sum of the weights. Tokens are added t with t + 16 first, then by
/// halves again, neighbours last: one order for every Q.
template <int Q, bool kAll>
inline Vec weigh_tile(const FixedTile& tile, Vec largest, Vec factor, LaneRange range,
                      float* scores) {
  constexpr int kVectors = Lanes<Q>::kVectors;
  const auto weigh = [&](int v) __attribute__((always_inline)) {
    Vec weight = exp2_of(load(scores + v * kLanes) - largest);
    if constexpr (!kAll) weight.v = _mm512_maskz_mov_ps(range.sees<Q>(v), weight.v);
    Vec scaled = Lanes<Q>::tokens(tile.v_scale + v * Lanes<Q>::kParts) * factor;
    if constexpr (!kAll) scaled.v = _mm512_maskz_mov_ps(range.sees<Q>(v), scaled.v);
    store(scores + v * kLanes, fma(weight, scaled, set1(kRoundingMagic)));
    return weight;
  };
  if constexpr (kVectors == 2) {
    const Vec first = weigh(0);
    return Lanes<Q>::fold_tokens(first + weigh(1), [](Vec a, Vec b) { return a + b; });
  } else {
    constexpr int kQuarter = kVectors / 4;
    Vec sums[kQuarter];
    for (int v = 0; v < kQuarter; ++v) {
      const Vec a = weigh(v);
      const Vec b = weigh(v + kQuarter);
      const Vec c = weigh(v + 2 * kQuarter);
      const Vec d = weigh(v + 3 * kQuarter);
      sums[v] = (a + c) + (b + d);
    }
    for (int half = kQuarter / 2; half > 0; half /= 2)
      for (int v = 0; v < half; ++v) sums[v] = sums[v] + sums[v + half];
    return Lanes<Q>::fold_tokens(sums[0], [](Vec a, Vec b) { return a + b; });
  }
}

/// out = out * correction + gain * sum of weight * V for N queries of a block of Q and C vectors.
/// `correction` and `gain` lie in the queries' score lanes, weights as [pairs of tokens, Q].
template <int Q, int N, int C>
HEARTH_OWN_REGISTERS inline void add_fixed_values(const int32_t* weights, const int16_t* v,
                                                  int v_stride, TileRange pairs,
                                                  const float* correction, const float* gain,
                                                  float* out, int out_stride) {
  __m512i sums[N * C];
#pragma GCC unroll 16
  for (int i = 0; i < N * C; ++i) sums[i] = _mm512_setzero_si512();
  for (int t = pairs.begin; t < pairs.end; ++t) {
    __m512i values[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) values[c] = _mm512_load_si512(v + t * v_stride + c * kGroupDims);
#pragma GCC unroll 4
    for (int i = 0; i < N; ++i) {
      const __m512i weight = _mm512_set1_epi32(weights[t * Q + i]);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) add_products(sums[i * C + c], values[c], weight);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) {
    const int lane = Lanes<Q>::score_lane(i, 0);
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      float* at = out + i * out_stride + c * kLanes;
      store(at, fma({_mm512_cvtepi32_ps(sums[i * C + c])}, set1(gain[lane]),
                    load(at) * set1(correction[lane])));
    }
  }
}

// How often folding a tile into eight queries asks for lines.
inline constexpr int kFoldAsks = 4;

/// add_fixed_values for all queries and dims of a block. Asks for lines, `lines` a time.
template <int Q>
inline void add_block_values(const FixedBlock& block, FixedItem& work, TileRange pairs, int cols,
                             Ahead& ahead, size_t lines) {
  constexpr int kQueries = Q < 4 ? Q : 4;
  constexpr int kColumns = 16 / kQueries < 8 ? 16 / kQueries : 8;
  const int stride = 2 * cols;
  for (int query = 0; query < block.count; query += kQueries) {
    ahead.ask_lines(lines);
    const int lane = Lanes<Q>::score_lane(query, 0);
    float* out = work.out + (block.first + query) * cols;
    int d = 0;
    for (; d + kColumns * kLanes <= cols; d += kColumns * kLanes)
      add_fixed_values<Q, kQueries, kColumns>(work.weights + query, work.tile.v + 2 * d, stride,
                                              pairs, work.correction + lane, work.gain + lane,
                                              out + d, cols);
    for (; d < cols; d += kLanes)
      add_fixed_values<Q, kQueries, 1>(work.weights + query, work.tile.v + 2 * d, stride, pairs,
                                       work.correction + lane, work.gain + lane, out + d, cols);
  }
}

/// Folds the tile into the queries of a block. With kAll, each of them sees all of it. Asks for the
/// lines of `ahead` meanwhile.
template <int Q, bool kAll>
inline void fold_tile(const AttentionArgs& args, FixedBlock& block, FixedItem& work,
                      LaneRange range, TileRange tokens, Ahead& ahead) {
  const int head_dim = args.kv.head_dim;
  const size_t lines = ahead.lines_of_part(kFoldAsks);
  ahead.ask_lines(lines);
  const Vec largest =
      score_tile<Q, kAll>(block, work.tile, padded_k(head_dim), args.softcap, range, work.scores);
  ahead.ask_lines(lines);
  const Vec value_scale = largest_value_scale<Q, kAll>(work.tile, range);
  const Vec total =
      weigh_tile<Q, kAll>(work.tile, largest, fixing_factor(value_scale), range, work.scores);
  for (int v = 0; v < Lanes<Q>::kVectors; v += 2) {
    const float* pair = work.scores + v * kLanes;
    _mm512_store_si512(
        work.weights + v / 2 * kLanes,
        Lanes<Q>::pair_tokens(_mm512_load_si512(pair), _mm512_load_si512(pair + kLanes)));
  }
  const Vec before = load(block.maximum);
  const Vec maximum = max(largest, before);
  const Vec correction = exp2_of(before - maximum);
  const Vec share = exp2_of(largest - maximum);
  store(block.maximum, maximum);
  store(block.sum, fma(total, share, load(block.sum) * correction));
  store(work.correction, correction);
  store(work.gain, value_scale * set1(1.0F / kFixedMax) * share);
  add_block_values<Q>(block, work, {tokens.begin / 2, (tokens.end + 1) / 2}, padded_v(head_dim),
                      ahead, lines);
}

/// The same for a block that may see a part of the tile, or nothing.
inline void attend_block(const AttentionArgs& args, FixedBlock& block, FixedItem& work,
                         const Tile& tile, Ahead& ahead) {
  const int position = tile.position;
  const TileRange tokens = tile.tokens;
  const __m512i at = _mm512_set1_epi32(position);
  const __m512i limit = _mm512_set1_epi32(tokens.end);
  const LaneRange range = {
      _mm512_sub_epi32(_mm512_load_si512(block.oldest), at),
      _mm512_min_epi32(limit, _mm512_sub_epi32(_mm512_load_si512(block.newest),
                                               _mm512_set1_epi32(position - 1)))};
  const __m512i none = _mm512_setzero_si512();
  const __mmask16 some = _mm512_cmplt_epi32_mask(_mm512_max_epi32(range.begin, none), range.end);
  if (some == 0) return;
  const bool all = tokens.end == kTileTokens && _mm512_cmpgt_epi32_mask(range.begin, none) == 0 &&
                   _mm512_cmplt_epi32_mask(range.end, limit) == 0;
  with_lanes(block.lanes, [&]<int Q>(Lanes<Q>) {
    if (all)
      fold_tile<Q, true>(args, block, work, range, tokens, ahead);
    else
      fold_tile<Q, false>(args, block, work, range, tokens, ahead);
  });
}

/// Divides a query's weighted V by its sum of weights and writes it. A sink above every score would
/// not fit the scale of the sums: then these shrink to it.
inline void write_query(const AttentionArgs& args, const AttentionItem& item, int query,
                        float maximum, float total, const float* values) {
  float shrink = 1.0F;
  if (args.sinks != nullptr) {
    const float sink = args.sinks[item.first_head + query % item.num_heads] * kLog2E;
    const float largest = sink > maximum ? sink : maximum;
    const auto power = [&](float x) { return _mm512_cvtss_f32(exp2_of(set1(x - largest)).v); };
    shrink = power(maximum);
    total = total * shrink + power(sink);
  }
  float* out =
      args.out + query_row(item, query) * args.out_stride + query_offset(args, item, query);
  for (int d = 0; d < args.kv.head_dim; d += kLanes)
    store_partial(out + d, min_int(kLanes, args.kv.head_dim - d),
                  load(values + d) * set1(shrink) / set1(total));
}

template <typename Fix>
inline void attend_fixed(const AttentionArgs& args, const KvStrides& strides,
                         const AttentionItem& item) {
  const KvLayerView& kv = args.kv;
  const auto fix = kv.head_dim == 64    ? fix_tile<Fix, 64>
                   : kv.head_dim == 128 ? fix_tile<Fix, 128>
                                        : fix_tile<Fix, 0>;
  const TileCursor first = first_tile(args, strides, item);
  FixedItem work;
  const int blocks = load_blocks(args, item, work);
  for_each_tile(args, strides, item, first, [&](Tile& tile) {
    fix({tile.k, strides.row_bytes}, {tile.v, strides.row_bytes}, tile.tokens, kv.head_dim,
        work.tile, tile.next_values);
    for (int i = 0; i < blocks; ++i)
      attend_block(args, work.blocks[i], work, tile, tile.later_keys);
    tile.later_keys.ask_all();
  });
  for (int i = 0; i < blocks; ++i) {
    const FixedBlock& block = work.blocks[i];
    with_lanes(block.lanes, [&]<int Q>(Lanes<Q>) {
      for (int query = 0; query < block.count; ++query) {
        const int lane = Lanes<Q>::score_lane(query, 0);
        write_query(args, item, block.first + query, block.maximum[lane], block.sum[lane],
                    work.out + (block.first + query) * padded_v(kv.head_dim));
      }
    });
  }
}

/// attention over a cache in f16 (FixF16) or q8_0 (FixQ8). head_dim <= kTileHeadDim.
template <typename Fix>
inline void fixed_attention(const ExecContext& context, const AttentionArgs& args) {
  const KvStrides strides = kv_strides(args.kv);
  for_each_item(context, args, {.most = kFixedQueries, .least = kLeastFixedQueries},
                [&](const AttentionItem& item) { attend_fixed<Fix>(args, strides, item); });
}

}  // namespace hearth::kernels::avx512
