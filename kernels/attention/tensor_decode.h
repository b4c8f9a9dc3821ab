#pragma once
// Attention for rows that are alone in their sequences: a cta for a row and the heads of one KV
// head, which are the rows of the tensor cores' products. Its warps take the tiles of a span in
// turn; then all of its threads merge them in the order of positions. Included by .cu files after
// simt.h.

#include "kernels/attention/tensor_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

template <typename Tile, int kNumWarps>
struct DecodeKernel {
  using Args = AttendArgs;
  using Math = TileMath<Tile>;
  using Query = typename Math::Query;
  static constexpr int kWarps = kNumWarps;
  static constexpr int kThreads = kWarps * simt::kWarp;
  static constexpr int kDim = 32 * Tile::kGroups;
  static constexpr int kSpanTiles = kSpanTokens / kTileTokens;
  static constexpr int kElements = (kQueryRows * kDim + kThreads - 1) / kThreads;  // of a thread
  static_assert(kSpanTiles % kWarps == 0, "a round of tiles lies in one span");

  // Shared memory: Q; K, V and what they become for each warp; the tiles' softmax, and the factors
  // of their values and of the span's; the tiles' values.
  static constexpr int kWarpBytes = 2 * Tile::kStageBytes + Tile::kReadyBytes;
  static constexpr int kStatesAt = Query::kBytes + kWarps * kWarpBytes;
  static constexpr int kFactorsAt =
      kStatesAt + kWarps * kQueryRows * static_cast<int>(sizeof(SoftmaxState));
  static constexpr int kValuesAt =
      kFactorsAt + (kWarps + 1) * kQueryRows * static_cast<int>(sizeof(MergeFactors));

  static size_t shared_bytes(int group) {
    const int heads = group < kQueryRows ? group : kQueryRows;
    return kValuesAt + sizeof(float) * static_cast<size_t>(kWarps * heads * kDim);
  }
  static int ctas_of_row(const AttentionArgs& args) {
    const int group = args.num_heads / args.kv.num_kv_heads;
    return args.kv.num_kv_heads * ((group + kQueryRows - 1) / kQueryRows);
  }

  struct Place {
    int64_t row;
    int kv_head;
    int first_head;
    int heads;  // up to kQueryRows
    int first_page;
    Seen seen;
    int first_tile;
    int last_tile;
  };

  /// What warp 0 knows of the head of its lane, and all threads of their values.
  struct Totals {
    SoftmaxState span_state;
    SoftmaxState state;
    float span[kElements];
    float values[kElements];
  };

  static HEARTH_KERNEL SoftmaxState* states() {
    return reinterpret_cast<SoftmaxState*>(simt::shared_memory() + kStatesAt);
  }
  static HEARTH_KERNEL MergeFactors* factors() {
    return reinterpret_cast<MergeFactors*>(simt::shared_memory() + kFactorsAt);
  }
  static HEARTH_KERNEL float* tile_values() {
    return reinterpret_cast<float*>(simt::shared_memory() + kValuesAt);
  }
  static HEARTH_KERNEL unsigned char* own_stage(bool is_v) {
    return simt::shared_memory() + Query::kBytes + simt::warp_index() * kWarpBytes +
           (is_v ? Tile::kStageBytes : 0);
  }

  static HEARTH_KERNEL void run(const Args& args) {
    Place place = locate(args);
    if (args.partial != nullptr) {
      const int first = simt::cta_index().y * kSpanTiles;
      const int last = first + kSpanTiles - 1;
      place.first_tile = place.first_tile > first ? place.first_tile : first;
      place.last_tile = place.last_tile < last ? place.last_tile : last;
      if (place.first_tile > place.last_tile) return;  // the whole cta
    }
    const AttentionArgs& a = args.attention;
    for (int r = simt::warp_index(); r < kQueryRows; r += kWarps) {
      const float* q = a.q + place.row * a.q_stride + (place.first_head + r) * kDim;
      Query::put(simt::shared_memory(), r, r < place.heads ? q : nullptr, a.scale);
    }
    const int first_round = place.first_tile / kWarps * kWarps;
    for (const bool is_v : {false, true})
      stage(args, place, first_round + simt::warp_index(), is_v);
    simt::sync_cta();
    Totals totals = {};
    totals.span_state = totals.state = {minus_infinity(), 0.0F};
    for (int tile = first_round; tile <= place.last_tile; tile += kWarps) {
      attend(args, place, tile + simt::warp_index());
      simt::sync_cta();
      const int next = tile + kWarps;
      const bool ends = next % kSpanTiles == 0 || next > place.last_tile;
      fold_states(place, ends, totals);
      simt::sync_cta();
      fold_values(place, ends, totals);
      simt::sync_cta();  // the next round writes where this one was read
    }
    simt::copy_async_wait<0>();
    finish(args, place, totals);
  }

  static HEARTH_KERNEL Place locate(const Args& args) {
    const AttentionArgs& a = args.attention;
    const int group = a.num_heads / a.kv.num_kv_heads;
    const int subgroups = (group + kQueryRows - 1) / kQueryRows;
    const int item = simt::cta_index().x;
    Place place;
    place.row = args.first_row + item / (subgroups * a.kv.num_kv_heads);
    place.kv_head = item / subgroups % a.kv.num_kv_heads;
    const int first = item % subgroups * kQueryRows;
    place.first_head = place.kv_head * group + first;
    place.heads = group - first < kQueryRows ? group - first : kQueryRows;
    const simt::RowPlace at = args.step.row[place.row];
    place.first_page = at.first_page;
    place.seen = {first_seen(a, at.position), at.position};
    place.first_tile = place.seen.begin / kTileTokens;
    place.last_tile = at.position / kTileTokens;
    return place;
  }

  static HEARTH_KERNEL bool sees(const Place& place, int tile) {
    return tile >= place.first_tile && tile <= place.last_tile;
  }

  /// Copies K or V of the warp's tile, if the row sees it.
  static HEARTH_KERNEL void stage(const Args& args, const Place& place, int tile, bool is_v) {
    if (sees(place, tile))
      stage_tile<Tile>(args, place.first_page, place.kv_head, is_v, tile, place.seen.position,
                       own_stage(is_v), simt::lane_index(), simt::kWarp);
    simt::copy_async_commit();
  }

  /// K or V of the warp's tile as the products read it, when its copy has come.
  static HEARTH_KERNEL const unsigned char* ready(bool is_v) {
    simt::copy_async_wait<1>();
    simt::sync_warp();
    unsigned char* stage = own_stage(is_v);
    if constexpr (Tile::kConverts) {
      unsigned char* to = own_stage(false) + 2 * Tile::kStageBytes;
      if (is_v) {
        Tile::template convert<true>(stage, to, simt::lane_index(), simt::kWarp);
      } else {
        Tile::template convert<false>(stage, to, simt::lane_index(), simt::kWarp);
      }
      simt::sync_warp();
      return to;
    }
    return stage;
  }

  /// The warp's tile: its softmax and its values go to shared memory.
  static HEARTH_KERNEL void attend(const Args& args, const Place& place, int tile) {
    const int row = simt::lane_index() / 4;
    SoftmaxState own[2] = {{minus_infinity(), 0.0F}, {minus_infinity(), 0.0F}};
    if (!sees(place, tile)) {
      for (const bool is_v : {false, true}) stage(args, place, tile + kWarps, is_v);
    } else {
      unsigned char* query = simt::shared_memory();
      TileSums sums;
      Math::dot(query, ready(false), sums);
      simt::sync_warp();  // K has been read
      stage(args, place, tile + kWarps, false);
      const float factor[2] = {Query::factors(query)[row], Query::factors(query)[row + 8]};
      const Seen seen[2] = {place.seen, place.seen};
      Math::weigh(args.attention, factor, seen, tile * kTileTokens, sums, own);
      put_values(place, sums, ready(true));
      simt::sync_warp();
      stage(args, place, tile + kWarps, true);
    }
    if (simt::lane_index() % 4 != 0) return;
    for (int half = 0; half < 2; ++half)
      states()[simt::warp_index() * kQueryRows + row + 8 * half] = own[half];
  }

  static HEARTH_KERNEL void put_values(const Place& place, const TileSums& weights,
                                       const unsigned char* v) {
    float* to = tile_values() + simt::warp_index() * place.heads * kDim;
    auto split = Math::split(weights, v, 0);
    for (int group = 0; group < Tile::kGroups; ++group) {
      if (Tile::kConverts && group > 0) split = Math::split(weights, v, group);
      TileSums sums;
      Math::sum_values(split, v, group, sums);
      HEARTH_UNROLL
      for (int n = 0; n < 4; ++n) HEARTH_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int row = simt::lane_index() / 4 + i / 2 * 8;
        if (row < place.heads)
          to[row * kDim + group * 32 + column_of(n, i)] = sums[n][i] * (1.0F / Tile::kUnit);
      }
    }
  }

  /// Lane r of warp 0 merges the round's softmax of head r; all threads get the factors.
  static HEARTH_KERNEL void fold_states(const Place& place, bool ends, Totals& totals) {
    const int row = simt::thread_index();
    if (row >= place.heads) return;
    for (int w = 0; w < kWarps; ++w)
      factors()[w * kQueryRows + row] = merge(totals.span_state, states()[w * kQueryRows + row]);
    if (!ends) return;
    factors()[kWarps * kQueryRows + row] = merge(totals.state, totals.span_state);
    totals.span_state = {minus_infinity(), 0.0F};
  }

  static HEARTH_KERNEL void fold_values(const Place& place, bool ends, Totals& totals) {
    HEARTH_UNROLL
    for (int e = 0; e < kElements; ++e) {
      const int at = e * kThreads + simt::thread_index();
      const int row = at / kDim;
      if (row >= place.heads) break;
      for (int w = 0; w < kWarps; ++w) {
        if (states()[w * kQueryRows + row].largest == minus_infinity()) continue;  // no values
        totals.span[e] = merge_value(factors()[w * kQueryRows + row], totals.span[e],
                                     tile_values()[w * place.heads * kDim + at]);
      }
      if (!ends) continue;
      totals.values[e] =
          merge_value(factors()[kWarps * kQueryRows + row], totals.values[e], totals.span[e]);
      totals.span[e] = 0.0F;
    }
  }

  /// Writes the span's part, or lets the heads' sinks join and writes the row.
  static HEARTH_KERNEL void finish(const Args& args, const Place& place, Totals& totals) {
    const AttentionArgs& a = args.attention;
    const int own = simt::thread_index();
    if (args.partial == nullptr && own < place.heads) {
      MergeFactors joined{1.0F, 0.0F};
      if (a.sinks != nullptr) joined = merge(totals.state, {a.sinks[place.first_head + own], 1.0F});
      factors()[own] = joined;
      states()[own] = totals.state;
    }
    simt::sync_cta();
    if (args.partial != nullptr && own < place.heads) {
      float* out = partial_of(args, place.row, place.first_head + own, simt::cta_index().y);
      out[0] = totals.state.largest;
      out[1] = totals.state.sum;
    }
    HEARTH_UNROLL
    for (int e = 0; e < kElements; ++e) {
      const int at = e * kThreads + simt::thread_index();
      const int row = at / kDim;
      if (row >= place.heads) break;
      const int head = place.first_head + row;
      float value = totals.values[e];
      if (args.partial != nullptr) {
        partial_of(args, place.row, head, simt::cta_index().y)[2 + at % kDim] = value;
        continue;
      }
      if (a.sinks != nullptr) value = merge_value(factors()[row], value, 0.0F);
      a.out[place.row * a.out_stride + head * kDim + at % kDim] = value / states()[row].sum;
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
