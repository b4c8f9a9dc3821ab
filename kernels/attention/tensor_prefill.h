#pragma once
// Attention for many rows of a sequence: a cta for kCtaRows pairs of a row and a head that read one
// KV head; 16 of them are a warp's. All warps read the same tiles of K and V. Included by .cu files
// after simt.h.

#include "kernels/attention/tensor_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

struct PrefillArgs {
  AttendArgs attend;
  int32_t stages;  // of K and V in shared memory
};

/// kRowWarps: warps that have rows of their own. kShares: warps that share 16 rows, each with so
/// many of the dimensions of V, where a warp's registers do not hold all.
template <typename Tile, int kRowWarps, int kShares>
struct PrefillKernel {
  using Args = PrefillArgs;
  using Math = TileMath<Tile>;
  using Query = typename Math::Query;
  static constexpr int kThreads = kRowWarps * kShares * simt::kWarp;
  static constexpr int kCtaRows = kRowWarps * kQueryRows;
  static constexpr int kDim = 32 * Tile::kGroups;
  static constexpr int kOwnGroups = Tile::kGroups / kShares;
  static constexpr int kSpanTiles = kSpanTokens / kTileTokens;
  static constexpr int kStagesAt = kRowWarps * Query::kBytes + 2 * Tile::kReadyBytes;
  static_assert(Tile::kGroups % kShares == 0);

  static size_t shared_bytes(int stages) {
    return static_cast<size_t>(kStagesAt + stages * 2 * Tile::kStageBytes);
  }

  /// One of a lane's two rows.
  struct Row {
    int64_t row;  // of the batch
    int head;
    int first_page;  // -1: there is none
    Seen seen;
  };

  /// Rows of one sequence that lie next to each other, and the tiles that they see.
  struct Run {
    int first_page;
    int last_position;
    int first_tile;
    int last_tile;
  };

  struct State {
    SoftmaxState softmax[2];
    TileSums values[kOwnGroups];
  };

  static HEARTH_KERNEL int row_warp() { return simt::warp_index() / kShares; }
  static HEARTH_KERNEL int own_group(int g) {
    return simt::warp_index() % kShares * kOwnGroups + g;
  }
  static HEARTH_KERNEL unsigned char* query() {
    return simt::shared_memory() + row_warp() * Query::kBytes;
  }
  static HEARTH_KERNEL unsigned char* stage_at(int slot, bool is_v) {
    return simt::shared_memory() + kStagesAt + (2 * slot + (is_v ? 1 : 0)) * Tile::kStageBytes;
  }
  static HEARTH_KERNEL unsigned char* converted(bool is_v) {
    return simt::shared_memory() + kRowWarps * Query::kBytes + (is_v ? Tile::kReadyBytes : 0);
  }

  static HEARTH_KERNEL void run(const Args& args) {
    const AttendArgs& attend = args.attend;
    const AttentionArgs& a = attend.attention;
    const int group = a.num_heads / a.kv.num_kv_heads;
    const int first = simt::cta_index().x * kCtaRows;
    for (int r = simt::warp_index() % kShares; r < kQueryRows; r += kShares) {
      const Row row = row_at(attend, group, first + row_warp() * kQueryRows + r);
      const float* q = a.q + row.row * a.q_stride + row.head * kDim;
      Query::put(query(), r, row.first_page < 0 ? nullptr : q, a.scale);
    }
    const int end = first + kCtaRows < attend.rows * group ? first + kCtaRows : attend.rows * group;
    const int last_row = attend.first_row + (end - 1) / group;
    for (int row = attend.first_row + first / group; row <= last_row;) {
      const int next = end_of_run(attend, row, last_row);
      attend_run(args, run_of(attend, row, next - 1));
      row = next;
    }
  }

  /// Row `half` of the lane's two.
  static HEARTH_KERNEL Row own_row(const AttendArgs& args, int half) {
    const int first = simt::cta_index().x * kCtaRows + row_warp() * kQueryRows;
    return row_at(args, args.attention.num_heads / args.attention.kv.num_kv_heads,
                  first + simt::lane_index() / 4 + 8 * half);
  }

  static HEARTH_KERNEL Row row_at(const AttendArgs& args, int group, int at) {
    if (at >= args.rows * group) return {0, 0, -1, {1, 0}};
    const int64_t row = args.first_row + at / group;
    const simt::RowPlace place = args.step.row[row];
    return {row,
            simt::cta_index().y * group + at % group,
            place.first_page,
            {first_seen(args.attention, place.position), place.position}};
  }

  /// The first row after `row` that is not of its sequence, at most last + 1.
  static HEARTH_KERNEL int end_of_run(const AttendArgs& args, int row, int last) {
    const int first_page = args.step.row[row].first_page;
    if (args.step.row[last].first_page == first_page) return last + 1;
    int end = row + 1;
    while (args.step.row[end].first_page == first_page) ++end;
    return end;
  }

  static HEARTH_KERNEL Run run_of(const AttendArgs& args, int first, int last) {
    const simt::RowPlace place = args.step.row[first];
    Run run;
    run.first_page = place.first_page;
    run.last_position = args.step.row[last].position;
    run.first_tile = first_seen(args.attention, place.position) / kTileTokens;
    run.last_tile = run.last_position / kTileTokens;
    if (args.partial == nullptr) return run;
    const int span_first = simt::cta_index().z * kSpanTiles;
    const int span_last = span_first + kSpanTiles - 1;
    run.first_tile = run.first_tile > span_first ? run.first_tile : span_first;
    run.last_tile = run.last_tile < span_last ? run.last_tile : span_last;
    return run;
  }

  static HEARTH_KERNEL void attend_run(const Args& args, const Run& run) {
    if (run.first_tile > run.last_tile) return;  // the whole cta
    Seen seen[2];
    for (int i = 0; i < 2; ++i) {
      const Row own = own_row(args.attend, i);
      seen[i] = own.first_page == run.first_page ? own.seen : Seen{1, 0};
    }
    const Seen of_warp = seen_by_warp(seen);
    State span;
    State total;
    clear(span);
    clear(total);
    for (int ahead = 0; ahead < args.stages; ++ahead)
      stage(args, run, run.first_tile + ahead, ahead);
    int slot = 0;
    for (int tile = run.first_tile; tile <= run.last_tile; ++tile) {
      wait_for_oldest(args.stages);
      simt::sync_cta();
      if constexpr (Tile::kConverts) {
        convert(slot);
        simt::sync_cta();
        stage(args, run, tile + args.stages, slot);
      }
      if (of_warp.position >= tile * kTileTokens && of_warp.begin < (tile + 1) * kTileTokens)
        fold_tile(args.attend.attention, seen, tile, slot, span);
      if constexpr (!Tile::kConverts) {
        simt::sync_cta();
        stage(args, run, tile + args.stages, slot);
      }
      slot = slot + 1 == args.stages ? 0 : slot + 1;
      if ((tile + 1) % kSpanTiles == 0 || tile == run.last_tile) {
        join(total, span);
        clear(span);
      }
    }
    simt::copy_async_wait<0>();
    simt::sync_cta();  // what the next run copies to has been read
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const Row own = own_row(args.attend, i);
      if (own.first_page == run.first_page) write(args.attend, own, i, total);
    }
  }

  /// From the first position that any row of the warp sees to the last one.
  static HEARTH_KERNEL Seen seen_by_warp(const Seen (&seen)[2]) {
    Seen all{INT32_MAX, -1};
    for (const Seen& row : seen) {
      if (row.position < row.begin) continue;
      all.begin = row.begin < all.begin ? row.begin : all.begin;
      all.position = row.position > all.position ? row.position : all.position;
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      const int begin = simt::shuffle_xor(all.begin, mask);
      const int position = simt::shuffle_xor(all.position, mask);
      all.begin = begin < all.begin ? begin : all.begin;
      all.position = position > all.position ? position : all.position;
    }
    return all;
  }

  static HEARTH_KERNEL void clear(State& state) {
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) state.softmax[i] = {minus_infinity(), 0.0F};
    HEARTH_UNROLL
    for (int g = 0; g < kOwnGroups; ++g) HEARTH_UNROLL
    for (int n = 0; n < 4; ++n) HEARTH_UNROLL
    for (int i = 0; i < 4; ++i) state.values[g][n][i] = 0.0F;
  }

  static HEARTH_KERNEL void wait_for_oldest(int stages) {
    if (stages == 2) {
      simt::copy_async_wait<1>();
    } else {
      simt::copy_async_wait<0>();
    }
  }

  static HEARTH_KERNEL void stage(const Args& args, const Run& run, int tile, int slot) {
    if (tile <= run.last_tile)
      for (const bool is_v : {false, true})
        stage_tile<Tile>(args.attend, run.first_page, simt::cta_index().y, is_v, tile,
                         run.last_position, stage_at(slot, is_v), simt::thread_index(), kThreads);
    simt::copy_async_commit();
  }

  static HEARTH_KERNEL void convert(int slot) {
    if constexpr (Tile::kConverts) {
      Tile::template convert<false>(stage_at(slot, false), converted(false), simt::thread_index(),
                                    kThreads);
      Tile::template convert<true>(stage_at(slot, true), converted(true), simt::thread_index(),
                                   kThreads);
    }
  }

  /// Merges a tile into the span.
  static HEARTH_KERNEL void fold_tile(const AttentionArgs& args, const Seen (&seen)[2], int tile,
                                      int slot, State& span) {
    const unsigned char* k = Tile::kConverts ? converted(false) : stage_at(slot, false);
    const unsigned char* v = Tile::kConverts ? converted(true) : stage_at(slot, true);
    const int row = simt::lane_index() / 4;
    const float factor[2] = {Query::factors(query())[row], Query::factors(query())[row + 8]};
    TileSums weights;
    SoftmaxState softmax[2];
    Math::dot(query(), k, weights);
    Math::weigh(args, factor, seen, tile * kTileTokens, weights, softmax);
    MergeFactors factors[2];
    for (int i = 0; i < 2; ++i) factors[i] = merge(span.softmax[i], softmax[i]);
    auto split = Math::split(weights, v, own_group(0));
    HEARTH_UNROLL
    for (int g = 0; g < kOwnGroups; ++g) {
      if (Tile::kConverts && g > 0) split = Math::split(weights, v, own_group(g));
      TileSums sums;
      Math::sum_values(split, v, own_group(g), sums);
      HEARTH_UNROLL
      for (int n = 0; n < 4; ++n) HEARTH_UNROLL
      for (int i = 0; i < 4; ++i)
        span.values[g][n][i] =
            merge_value(factors[i / 2], span.values[g][n][i], sums[n][i] * (1.0F / Tile::kUnit));
    }
  }

  /// Merges the span into the total.
  static HEARTH_KERNEL void join(State& total, const State& span) {
    MergeFactors factors[2];
    for (int i = 0; i < 2; ++i) factors[i] = merge(total.softmax[i], span.softmax[i]);
    HEARTH_UNROLL
    for (int g = 0; g < kOwnGroups; ++g) HEARTH_UNROLL
    for (int n = 0; n < 4; ++n) HEARTH_UNROLL
    for (int i = 0; i < 4; ++i)
      total.values[g][n][i] =
          merge_value(factors[i / 2], total.values[g][n][i], span.values[g][n][i]);
  }

  /// The part of the span in `partial`, or the row with its head's sink.
  static HEARTH_KERNEL void write(const AttendArgs& args, const Row& row, int half,
                                  const State& total) {
    const AttentionArgs& a = args.attention;
    SoftmaxState softmax = total.softmax[half];
    MergeFactors joined{1.0F, 0.0F};
    float* out = a.out + row.row * a.out_stride + row.head * kDim;
    if (args.partial != nullptr) {
      out = partial_of(args, row.row, row.head, simt::cta_index().z);
      if (simt::lane_index() % 4 == 0 && simt::warp_index() % kShares == 0) {
        out[0] = softmax.largest;
        out[1] = softmax.sum;
      }
      out += 2;
    } else if (a.sinks != nullptr) {
      joined = merge(softmax, {a.sinks[row.head], 1.0F});
    }
    HEARTH_UNROLL
    for (int g = 0; g < kOwnGroups; ++g) HEARTH_UNROLL
    for (int n = 0; n < 4; ++n) HEARTH_UNROLL
    for (int i = 2 * half; i < 2 * half + 2; ++i) {
      float value = total.values[g][n][i];
      if (args.partial == nullptr) {
        if (a.sinks != nullptr) value = merge_value(joined, value, 0.0F);
        value /= softmax.sum;
      }
      out[own_group(g) * 32 + column_of(n, i)] = value;
    }
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
