#pragma once
// The tensor-core matmul: out[r, o] (+)= dot(weight[o], x[r]) + bias[o] with weights in the file's
// layout and x as 16-bit floats. Included by .cu files after simt.h.
//
// One order of summation for every number of rows. A row is cut into *steps* (256 values) and the
// steps into kParts *parts*, by its length alone. A part is summed from left to right in f32,
// group of 32 by group, by the same tensor-core instruction whatever the number of rows; a column
// of it (a row of x) does not see the others. Then the parts, each times the scale of x in that
// part, are added from left to right. With few rows each warp of a cta takes one part and shared
// memory adds them up (SplitTile). With many, every warp walks all parts and adds each one to its
// total when it ends; or, where that would leave multiprocessors idle, each cta takes one part of
// its tile, and HalfFoldKernel adds them up. So the bits of an output depend on its row of weights
// and its row of x alone.
//
// Weights and x come to shared memory by asynchronous copies, some turns ahead. A *turn* is what
// one slot of x holds. One barrier a turn: behind it all have left the slot of the turn before,
// which is filled next; or, where products of that turn may still read it (kGroup), of the one
// before that.

#include <algorithm>

#include "base/check.h"
#include "kernels/matmul/half_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Format: a type of weights.
///   - kStep: values in a slot of a cta with few rows; kWideStep: values in a slot of weights of a
///     cta with many rows
///   - weight_bytes<n>(), weight_pitch<n>(): of n values of a row; from row to row of a slot
///   - kSwizzled: rows begin at multiples of 16 bytes and lie as x does; else anywhere, and are
///     copied with what surrounds them
///   - kSums: how many sums of values of x come with each group: of 32, or of 16 each
///   - kSumPairs: sums of 32 come for a step at a time, with its last turn
///   - kUnit: what sums are multiplied by in the end, behind the scale of x, which may make room
///   - consume(operands, first_group, groups, quad, sums): the products of a turn
///   - consume_group(…): the same by warpgroups; all but the last batch have ended
template <typename Format, typename Tile>
struct HalfMatmul {
  using Args = TensorMatmulArgs;
  using Stages = HalfStages<Format, Tile>;
  using Place = MatmulPlace;
  static constexpr int kThreads = 256;
  static constexpr bool kBeginsEarly = true;
  // Few rows wait for memory: with two ctas one computes meanwhile.
  static constexpr int kCtas = Tile::kSplit ? 2 : 1;
  static constexpr int kTeams = kThreads / Tile::kTeamThreads;
  static constexpr int kStepTurns = kPartStep / Stages::kX;
  static constexpr int kLag = Tile::kGroup ? 1 : 0;  // turns that may still be read
  static_assert(kTeams == (Tile::kSplit ? kParts : 1));
  using Sums = float[Tile::kM][Tile::kN][4];
  // Rows of kSwizzled formats are always aligned.
  static constexpr int kMostChunks =
      Format::kSwizzled ? Stages::kWeightBytes / 16 : (Stages::kWeightBytes + 15 + 15) / 16;
  static HEARTH_KERNEL bool has_aligned_slots(const Args& args) {
    return Format::kSwizzled || (Stages::kWeightBytes % 16 == 0 && args.aligned);
  }
  /// 16 bytes of weights that a row has in a slot, with what surrounds them.
  static HEARTH_KERNEL int weight_chunks(const Args& args) {
    if constexpr (Format::kSwizzled) return kMostChunks;
    return has_aligned_slots(args) ? Stages::kWeightBytes / 16 : kMostChunks;
  }
  static constexpr int kWeightCopies =
      (Tile::kOutputs * kMostChunks + Tile::kTeamThreads - 1) / Tile::kTeamThreads;

  /// A thread's copies of weights: from bytes behind the tile's first row to bytes of a slot. Rows
  /// beyond the last read that one, and are not stored.
  struct Copies {
    uint32_t from[kWeightCopies];
    int to[kWeightCopies];        // -1: none
    int misaligned[Tile::kM][2];  // a lane's rows of weights, by how much from 16 bytes
  };

  static HEARTH_KERNEL int team() { return simt::thread_index() / Tile::kTeamThreads; }
  static HEARTH_KERNEL int member() { return simt::thread_index() % Tile::kTeamThreads; }
  static HEARTH_KERNEL void sync_team() {
    if constexpr (Tile::kTeamThreads == simt::kWarp) {
      simt::sync_warp();
    } else {
      simt::sync_cta();
    }
  }

  static HEARTH_KERNEL void run(const Args& args) {
    if constexpr (Tile::kGroup && !simt::kHasGroupProducts) {
      simt::stop();
    } else {
      if (args.begin != nullptr) simt::wait_for_previous();  // which wrote it
      at_places<Tile::kOutputs, Tile::kRows, kThreads>(
          args, [&args](const Place& place) { compute(args, place); });
    }
  }

  /// The first turn of a part.
  static HEARTH_KERNEL int first_turn(int part, int steps, int turns) {
    return min_of(part_begin(part, steps) * kStepTurns, turns);
  }

  /// Slots in use, as a thread counts through them; bytes of shared memory.
  struct Slots {
    int weights;
    int x;
    HalfLayout layout;
    int weight;  // of the turn
    int of_x;

    HEARTH_KERNEL int weight_slot() const { return weights + weight * layout.weight_bytes; }
    HEARTH_KERNEL int x_slot() const { return x + of_x * layout.x_bytes; }
    /// On to `turn`, which follows the one before.
    HEARTH_KERNEL void advance(int turn) {
      of_x = of_x + 1 == layout.x_slots ? 0 : of_x + 1;
      if (turn % Stages::kTurns == 0) weight = weight + 1 == layout.weight_slots ? 0 : weight + 1;
    }
  };

  /// The tile at `place`.
  static HEARTH_KERNEL void compute(const Args& args, const Place& place) {
    const int steps = (args.cols + kPartStep - 1) / kPartStep;
    const int turns = (args.cols + Stages::kX - 1) / Stages::kX;
    const bool one_part = Tile::kSplit || args.partial != nullptr;
    const int own_part = Tile::kSplit ? team() : simt::cta_index().z % kParts;
    const int first = one_part ? first_turn(own_part, steps, turns) : 0;
    const int last = one_part ? first_turn(own_part + 1, steps, turns) : turns;
    const HalfLayout layout = Stages::layout(args.stages, args.staged_rows);
    const int base = team() * layout.team_bytes();
    Slots filled{base, base + layout.weight_slots * layout.weight_bytes, layout, 0, 0};
    Slots used = filled;
    const Copies copies = locate(args, place);
    Slots of_weights = filled;
    for (int ahead = 0; ahead + 1 + kLag < args.stages; ++ahead) {
      if (first + ahead < last) stage_weights(args, place, copies, first + ahead, of_weights);
      of_weights.advance(first + ahead + 1);
    }
    simt::wait_for_previous();
    for (int ahead = 0; ahead + 1 + kLag < args.stages; ++ahead) {
      if (first + ahead < last) stage_x(args, place, first + ahead, filled);
      filled.advance(first + ahead + 1);
      simt::copy_async_commit();
    }
    Sums sums = {};
    [[maybe_unused]] Sums totals = {};
    [[maybe_unused]] int part = part_after(0, first, steps, turns);
    [[maybe_unused]] int part_end = first_turn(part + 1, steps, turns);
    for (int turn = first; turn < last; ++turn) {
      wait_for_oldest(args.stages - kLag);
      if constexpr (Tile::kGroup) simt::show_to_products();
      sync_team();
      // What is slow to begin comes first.
      if constexpr (Tile::kGroup) consume(args, place, copies, turn, used, sums);
      const int next = turn + args.stages - 1 - kLag;
      if (next < last) {
        stage_weights(args, place, copies, next, filled);
        stage_x(args, place, next, filled);
      }
      filled.advance(next + 1);
      simt::copy_async_commit();
      if constexpr (Tile::kGroup) {
        simt::group_wait<1>();
      } else {
        consume(args, place, copies, turn, used, sums);
      }
      used.advance(turn + 1);
      if constexpr (!Tile::kSplit) {
        if (args.partial == nullptr && turn + 1 == part_end) {
          if constexpr (Tile::kGroup) wait_for_sums(sums);
          add_up(args, place, part, totals, sums);
          part = part_after(part, turn + 1, steps, turns);
          part_end = first_turn(part + 1, steps, turns);
        }
      }
    }
    simt::copy_async_wait<0>();
    if constexpr (Tile::kGroup) wait_for_sums(sums);
    if constexpr (Tile::kSplit) {
      fold_parts(args, place, sums);
    } else if (args.partial != nullptr) {
      store_part(args, place, sums, own_part);
    } else {
      store(place, totals);
    }
  }

  /// The part that turn `next` belongs to, from `part` on: parts of short rows may be empty.
  static HEARTH_KERNEL int part_after(int part, int next, int steps, int turns) {
    while (part + 1 < kParts && first_turn(part + 1, steps, turns) <= next) ++part;
    return part;
  }

  static HEARTH_KERNEL void wait_for_sums(Sums& sums) {
    simt::group_wait<0>();
    simt::hold(sums[0]);
  }

  /// Waits for all copies but those of the stages - 2 youngest turns.
  static HEARTH_KERNEL void wait_for_oldest(int stages) {
    if (stages >= 4) {
      simt::copy_async_wait<2>();
    } else if (stages == 3) {
      simt::copy_async_wait<1>();
    } else {
      simt::copy_async_wait<0>();
    }
  }

  /// Copies the weights that `turn` is the first to read, if it is.
  static HEARTH_KERNEL void stage_weights(const Args& args, const Place& place,
                                          const Copies& copies, int turn, const Slots& slots) {
    if (turn % Stages::kTurns == 0)
      copy_weights(args, place, copies, turn / Stages::kTurns,
                   simt::shared_memory() + slots.weight_slot());
  }

  static HEARTH_KERNEL Copies locate(const Args& args, const Place& place) {
    Copies copies;
    const int chunks = weight_chunks(args);
    HEARTH_UNROLL
    for (int j = 0; j < kWeightCopies; ++j) {
      const int i = member() + j * Tile::kTeamThreads;
      const int row = i / chunks;
      const int chunk = i % chunks;
      copies.from[j] = static_cast<uint32_t>(min_of(row, place.job.outputs - 1 - place.output) *
                                             args.weight_row_bytes) +
                       static_cast<uint32_t>(chunk * 16);
      copies.to[j] =
          row * Stages::kWeightPitch + (Format::kSwizzled ? half_chunk(row, chunk) : chunk * 16);
      if (row >= Tile::kOutputs) copies.to[j] = -1;
    }
    for (int m = 0; m < Tile::kM; ++m)
      for (int half = 0; half < 2; ++half) {
        const int i = first_output() + m * 16 + half * 8 + simt::lane_index() / 4;
        copies.misaligned[m][half] =
            static_cast<int>(reinterpret_cast<uintptr_t>(weight_row(args, place, i)) % 16);
      }
    return copies;
  }

  static HEARTH_KERNEL void copy_weights(const Args& args, const Place& place, const Copies& copies,
                                         int slot_of_row, unsigned char* to) {
    constexpr int kBytes = Stages::kWeightBytes;
    const int64_t at = static_cast<int64_t>(slot_of_row) * kBytes;
    const uint8_t* tile = place.weight + place.output * args.weight_row_bytes + at;
    if (has_aligned_slots(args) && at + kBytes <= args.weight_row_bytes) {
      HEARTH_UNROLL
      for (int j = 0; j < kWeightCopies; ++j)
        if (copies.to[j] >= 0) simt::copy_async<16>(to + copies.to[j], tile + copies.from[j]);
      return;
    }
    const auto left =
        static_cast<int>(args.weight_row_bytes - at < kBytes ? args.weight_row_bytes - at : kBytes);
    const int chunks = weight_chunks(args);
    HEARTH_UNROLL
    for (int j = 0; j < kWeightCopies; ++j) {
      const uint8_t* from = tile + copies.from[j];
      const int misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(from) % 16);
      const int chunk = (member() + j * Tile::kTeamThreads) % chunks;
      if (copies.to[j] >= 0 && chunk * 16 < left + misaligned)
        simt::copy_async<16>(to + copies.to[j], from - misaligned);
    }
  }

  static HEARTH_KERNEL void stage_x(const Args& args, const Place& place, int turn,
                                    const Slots& slots) {
    unsigned char* to = simt::shared_memory() + slots.x_slot();
    constexpr int kChunks = Stages::kX / 8;
    const int rows = min_of(place.rows_left, args.staged_rows);
    const int values = min_of(args.cols - turn * Stages::kX, Stages::kX);
    // A thread has one chunk of several rows at equal distances.
    static_assert(kChunks <= Tile::kTeamThreads);
    constexpr int kApart = Tile::kTeamThreads / kChunks;
    const int first = member() / kChunks;
    const int chunk = member() % kChunks;
    const auto* x = args.x + static_cast<int64_t>(place.row + first) * args.cols +
                    turn * Stages::kX + chunk * 8;
    unsigned char* target = to + (chunk / 8 * args.staged_rows + first) * 128;
    const auto copy = [&](int r) {
      if (first + r < rows && chunk * 8 < values)
        simt::copy_async<16>(target + r * 128 + half_chunk(first + r, chunk % 8),
                             x + static_cast<int64_t>(r) * args.cols);
    };
    if constexpr (Tile::kSplit) {
      for (int r = 0; r < rows; r += kApart) copy(r);
    } else {
      HEARTH_UNROLL
      for (int r = 0; r < Tile::kRows; r += kApart) copy(r);
    }
    if constexpr (Format::kSums > 0) stage_sums(args, place, turn, rows, values, to);
    if constexpr (Format::kSumPairs)
      if (turn % kStepTurns + 1 == kStepTurns)
        stage_pairs(args, place, turn / kStepTurns, rows, to);
  }

  static HEARTH_KERNEL void stage_sums(const Args& args, const Place& place, int turn, int rows,
                                       int values, unsigned char* to) {
    constexpr int kOfTurn = Stages::kGroups * Format::kSums;
    const int sums_of_row = args.cols / 32 * Format::kSums;
    const void* of_x = args.sums32;
    if constexpr (Format::kSums == 2) of_x = args.sums16;
    const auto* sums = static_cast<const uint32_t*>(of_x) +
                       static_cast<int64_t>(place.row) * sums_of_row + turn * kOfTurn;
    auto* target = reinterpret_cast<float*>(to + args.staged_rows * Stages::kX * 2);
    for (int i = member(); i < rows * kOfTurn; i += Tile::kTeamThreads) {
      const int row = i / kOfTurn;
      const int at = i % kOfTurn;
      if (at * 32 < values * Format::kSums)
        simt::copy_async<4>(target + at * Stages::sum_pitch(args.staged_rows) + row,
                            sums + static_cast<int64_t>(row) * sums_of_row + at);
    }
  }

  /// Rows of a step's sums of 32, two f16 each: b of one more product.
  static HEARTH_KERNEL void stage_pairs(const Args& args, const Place& place, int step, int rows,
                                        unsigned char* to) {
    constexpr int kOfStep = kPartStep / 32;
    const int sums_of_row = args.cols / 32;
    const uint32_t* sums =
        args.sums32 + static_cast<int64_t>(place.row) * sums_of_row + step * kOfStep;
    for (int i = member(); i < rows * 2; i += Tile::kTeamThreads) {
      const int row = i / 2;
      simt::copy_async<16>(
          to + args.staged_rows * Stages::kX * 2 + row * 32 + pair_chunk(row, i % 2),
          sums + static_cast<int64_t>(row) * sums_of_row + i % 2 * 4);
    }
  }

  static HEARTH_KERNEL int first_output() {
    return member() / simt::kWarp % Tile::kWarpsM * Tile::kM * 16;
  }
  static HEARTH_KERNEL int first_row() {
    return member() / simt::kWarp / Tile::kWarpsM * Tile::kN * 8;
  }

  static HEARTH_KERNEL void consume(const Args& args, const Place& place, const Copies& copies,
                                    int turn, const Slots& slots, Sums& sums) {
    const int row = simt::lane_index() / 4;
    const int quad = simt::lane_index() % 4;
    [[maybe_unused]] const int last_row = min_of(place.rows_left, args.staged_rows) - 1;
    const int weights = slots.weight_slot();
    const int x = slots.x_slot();
    HalfOperands<Tile::kM, Tile::kN> operands;
    HEARTH_UNROLL
    for (int m = 0; m < Tile::kM; ++m) {
      const int tile = first_output() + m * 16;
      if constexpr (Format::kSwizzled) {
        const int i = tile + simt::lane_index() % 16;
        operands.weight[m][0] =
            weights + i * Stages::kWeightPitch + half_chunk(i, simt::lane_index() / 16);
      } else {
        HEARTH_UNROLL
        for (int half = 0; half < 2; ++half)
          operands.weight[m][half] =
              weights + (tile + half * 8 + row) * Stages::kWeightPitch +
              (copies.misaligned[m][half] + turn / Stages::kTurns * Stages::kWeightBytes) % 16;
      }
    }
    // With few rows, columns beyond the last are that one again. With many there is room for all;
    // what lies there then is not stored, and no other column sees it.
    int of_b = first_row() + simt::lane_index() % 8;
    if constexpr (Tile::kSplit) of_b = min_of(of_b, last_row);
    operands.column = x + of_b * 128 + half_chunk(of_b, simt::lane_index() / 8);
    operands.group_weight = weights + first_output() / 64 * 64 * Stages::kWeightPitch;
    operands.x = x;
    operands.sum_row = first_row() + 2 * quad;
    operands.piece = args.staged_rows * 128;
    operands.sums = x + args.staged_rows * Stages::kX * 2;
    operands.sum_pairs = operands.sums + of_b * 32 + pair_chunk(of_b, simt::lane_index() / 8 % 2);
    operands.sum_pitch = Stages::sum_pitch(args.staged_rows);
    const int groups = min_of(args.cols - turn * Stages::kX, Stages::kX) / 32;
    const int first_group = turn % Stages::kTurns * Stages::kGroups;
    if constexpr (Tile::kGroup) {
      Format::consume_group(operands, first_group, groups, quad, sums[0]);
    } else {
      Format::template consume<Stages::kX>(operands, first_group, groups, quad, sums);
    }
  }

  /// Scale of x in a part, for column i of c of tile n.
  static HEARTH_KERNEL float scale_of(const Args& args, const Place& place, int n, int i,
                                      int part) {
    const int row =
        min_of(first_row() + n * 8 + simt::lane_index() % 4 * 2 + i, place.rows_left - 1);
    return args.part_scale[static_cast<int64_t>(place.row + row) * kParts + part];
  }

  static HEARTH_KERNEL void add_up(const Args& args, const Place& place, int part, Sums& totals,
                                   Sums& sums) {
    HEARTH_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      const float scale[2] = {scale_of(args, place, n, 0, part), scale_of(args, place, n, 1, part)};
      HEARTH_UNROLL
      for (int m = 0; m < Tile::kM; ++m) HEARTH_UNROLL
      for (int i = 0; i < 4; ++i) {
        totals[m][n][i] = fmaf(sums[m][n][i] * scale[i % 2], Format::kUnit, totals[m][n][i]);
        sums[m][n][i] = 0.0F;
      }
    }
  }

  /// The parts of all warps, added in order.
  static HEARTH_KERNEL void fold_parts(const Args& args, const Place& place, const Sums& sums) {
    auto* parts = reinterpret_cast<float*>(simt::shared_memory());
    constexpr int kSums = Tile::kOutputs * Tile::kRows;
    simt::sync_cta();  // the stages are read no more
    HEARTH_UNROLL
    for (int m = 0; m < Tile::kM; ++m) HEARTH_UNROLL
    for (int n = 0; n < Tile::kN; ++n) HEARTH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int output = m * 16 + simt::lane_index() / 4 + i / 2 * 8;
      const int row = n * 8 + simt::lane_index() % 4 * 2 + i % 2;
      parts[team() * kSums + row * Tile::kOutputs + output] = sums[m][n][i];
    }
    simt::sync_cta();
    for (int i = simt::thread_index(); i < kSums; i += kThreads) {
      const int row = i / Tile::kOutputs;
      if (row >= place.rows_left) break;
      const float* scale = args.part_scale + static_cast<int64_t>(place.row + row) * kParts;
      float total = 0.0F;
      for (int part = 0; part < kParts; ++part)
        total = fmaf(parts[part * kSums + i] * scale[part], Format::kUnit, total);
      put_output(place, i % Tile::kOutputs, row, total);
    }
  }

  /// Calls `body` with the place in the tile of each of a lane's sums.
  template <typename Body>
  static HEARTH_KERNEL void for_each_sum(const Sums& sums, const Body& body) {
    HEARTH_UNROLL
    for (int m = 0; m < Tile::kM; ++m) HEARTH_UNROLL
    for (int n = 0; n < Tile::kN; ++n) HEARTH_UNROLL
    for (int i = 0; i < 4; ++i)
      body(first_output() + m * 16 + simt::lane_index() / 4 + i / 2 * 8,
           first_row() + n * 8 + simt::lane_index() % 4 * 2 + i % 2, sums[m][n][i]);
  }

  static HEARTH_KERNEL void store(const Place& place, const Sums& totals) {
    for_each_sum(totals,
                 [&](int output, int row, float total) { put_output(place, output, row, total); });
  }

  static HEARTH_KERNEL void store_part(const Args& args, const Place& place, const Sums& sums,
                                       int part) {
    for_each_sum(sums, [&](int output, int row, float sum) {
      if (place.output + output < place.job.outputs && row < place.rows_left)
        args.partial[(static_cast<int64_t>(part) * args.rows + place.row + row) * args.outputs +
                     place.job.first_output + place.output + output] = sum;
    });
  }
};

/// Adds up the parts that ctas left in `partial`: a thread for each output.
struct HalfFoldKernel {
  using Args = TensorMatmulArgs;
  static constexpr int kThreads = 256;

  static HEARTH_KERNEL void run(const Args& m) {
    const int64_t at = static_cast<int64_t>(simt::cta_index().x) * kThreads + simt::thread_index();
    const int64_t count = int64_t{m.rows} * m.outputs;
    if (at >= count) return;
    const int64_t row = at / m.outputs;
    float total = 0.0F;
    for (int part = 0; part < kParts; ++part)
      total = fmaf(m.partial[part * count + at] * m.part_scale[row * kParts + part], m.unit, total);
    const auto of_launch = static_cast<int>(at % m.outputs);
    int index = 0;
    while (index + 1 < m.num_jobs && of_launch >= m.jobs[index + 1].first_output) ++index;
    const TensorJob& job = m.jobs[index];
    const int output = of_launch - job.first_output;
    int64_t bias_at = output;
    for (int e = 1; e < m.experts && m.begin[e] <= row; ++e) bias_at += job.outputs;
    finish_output(job, row, output, job.bias == nullptr ? nullptr : job.bias + bias_at, total);
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
