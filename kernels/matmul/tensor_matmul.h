#pragma once
// The tensor-core matmul: out[r, o] (+)= dot(weight[o], x[r]) + bias[o] with weights in the file's
// layout. Included by .cu files after simt.h.
//
// One order of summation for every number of rows. A row of weights is cut into *steps* (256 or 64
// values) and the steps into kParts *parts*, by the row's length alone. A part is summed from left
// to right, step by step, group of 32 by group; then the parts are added from left to right. With
// few rows each warp of a cta takes one part and shared memory adds them up (SplitTile). With many,
// every warp walks all parts and adds each one to its total when it ends (WideTile); or, where that
// would leave multiprocessors idle, each cta takes one part of its tile, and FoldKernel adds them
// up. The products of a group are those of one tensor-core instruction, whose columns (rows of x)
// do not see each other. So the bits of an output depend on its row of weights and its row of x
// alone.
//
// Weights and x come to shared memory by asynchronous copies, kStages steps ahead, as they lie in
// memory; each lane unpacks what its fragment needs straight from there
// (kernels/cuda/lane_unpack.h).

#include <algorithm>

#include "base/check.h"
#include "kernels/matmul/matmul_place.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Up to 8 rows: 16 outputs for a cta, a part of the sum for each of its 8 warps.
struct SplitTile {
  static constexpr bool kSplit = true;
  static constexpr int kTeamThreads = 32;  // who stages and computes together
  static constexpr int kWarpsM = 1;        // of a team, across outputs
  static constexpr int kWarpsN = 1;        // of a team, across rows of x
  static constexpr int kM = 1;             // 16-output tiles of a warp
  static constexpr int kN = 1;             // 8-row tiles of a warp
};

/// Up to 32 rows: 128 outputs for a cta, 16 for each warp, which all read the same rows of x.
struct MediumTile {
  static constexpr bool kSplit = false;
  static constexpr int kTeamThreads = 256;
  static constexpr int kWarpsM = 8;
  static constexpr int kWarpsN = 1;
  static constexpr int kM = 1;
  static constexpr int kN = 4;
};

/// More: 128 outputs by 64 rows for a cta.
struct WideTile {
  static constexpr bool kSplit = false;
  static constexpr int kTeamThreads = 256;
  static constexpr int kWarpsM = 4;
  static constexpr int kWarpsN = 2;
  static constexpr int kM = 2;
  static constexpr int kN = 4;
};

template <typename Tile>
inline constexpr int kTileOutputs = Tile::kWarpsM* Tile::kM * 16;
template <typename Tile>
inline constexpr int kTileRows = Tile::kWarpsN* Tile::kN * 8;

/// Shared memory of one stage of one team.
template <typename Format, typename Tile>
HEARTH_HOST_DEVICE int stage_bytes(int staged_rows) {
  return kTileOutputs<Tile> * Format::kWeightPitch + staged_rows * Format::kPlanePitch;
}

/// Format: a type of weights and the form of x that it is multiplied with.
///   kStep, kWeightBytes: values and bytes of a step of a row of weights
///   kWeightPitch, kPlanePitch: from row to row of a stage, of weights and of x
///   kPlanes, plane_offset(p), plane_step(p), plane_copy(p), plane_bytes(p, values): the parts of x
///   consume<Tile>(...): one step's products
template <typename Format, typename Tile>
struct TensorMatmul {
  using Args = TensorMatmulArgs;
  static constexpr int kThreads = 256;
  static constexpr int kTeams = kThreads / Tile::kTeamThreads;
  static_assert(kTeams == (Tile::kSplit ? kParts : 1));
  using Sums = float[Tile::kM][Tile::kN][4];

  using Place = MatmulPlace;

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
    at_places<kTileOutputs<Tile>, kTileRows<Tile>, kThreads>(
        args, [&args](const Place& place) { compute(args, place); });
  }

  /// The tile at `place`.
  static HEARTH_KERNEL void compute(const Args& args, const Place& place) {
    const int steps = (args.cols + Format::kStep - 1) / Format::kStep;
    const bool one_part = Tile::kSplit || args.partial != nullptr;
    const int own_part = Tile::kSplit ? team() : simt::cta_index().z % kParts;
    const int first = one_part ? part_begin(own_part, steps) : 0;
    const int last = one_part ? part_begin(own_part + 1, steps) : steps;
    [[maybe_unused]] int part = part_after(0, first, steps);
    unsigned char* base =
        simt::shared_memory() + team() * args.stages * stage_bytes<Format, Tile>(args.staged_rows);
    Sums sums = {};
    [[maybe_unused]] Sums totals = {};
    for (int ahead = 0; ahead < args.stages; ++ahead) {
      if (first + ahead < last) stage(args, place, first + ahead, base, ahead);
      simt::copy_async_commit();
    }
    int slot = 0;
    for (int step = first; step < last; ++step) {
      wait_for_oldest(args.stages);
      sync_team();
      consume(args, place, step, base + slot * stage_bytes<Format, Tile>(args.staged_rows), sums);
      sync_team();
      if (step + args.stages < last) stage(args, place, step + args.stages, base, slot);
      simt::copy_async_commit();
      slot = slot + 1 == args.stages ? 0 : slot + 1;
      if constexpr (!Tile::kSplit) {
        if (step + 1 == part_begin(part + 1, steps)) {
          add_up(totals, sums);
          part = part_after(part, step + 1, steps);
        }
      }
    }
    simt::copy_async_wait<0>();
    if constexpr (Tile::kSplit) {
      fold_parts(args, place, sums);
    } else {
      store(args, place, totals, own_part);
    }
  }

  /// The part that step `next` belongs to, from `part` on: parts of short rows may be empty.
  static HEARTH_KERNEL int part_after(int part, int next, int steps) {
    while (part + 1 < kParts && part_begin(part + 1, steps) <= next) ++part;
    return part;
  }

  static HEARTH_KERNEL void wait_for_oldest(int stages) {
    if (stages >= 3) {
      simt::copy_async_wait<2>();
    } else if (stages == 2) {
      simt::copy_async_wait<1>();
    } else {
      simt::copy_async_wait<0>();
    }
  }

  static HEARTH_KERNEL void add_up(Sums& totals, Sums& sums) {
    for (int m = 0; m < Tile::kM; ++m)
      for (int n = 0; n < Tile::kN; ++n)
        for (int i = 0; i < 4; ++i) {
          totals[m][n][i] += sums[m][n][i];
          sums[m][n][i] = 0.0F;
        }
  }

  /// Copies a step of the tile's weights and rows of x to stage `slot`. Weights are copied in whole
  /// aligned 16 bytes: the stage keeps their misalignment.
  static HEARTH_KERNEL void stage(const Args& args, const Place& place, int step,
                                  unsigned char* base, int slot) {
    constexpr int kChunks = (Format::kWeightBytes + 15 + 15) / 16;
    unsigned char* to = base + slot * stage_bytes<Format, Tile>(args.staged_rows);
    const int64_t at = static_cast<int64_t>(step) * Format::kWeightBytes;
    const auto left = static_cast<int>(args.weight_row_bytes - at < Format::kWeightBytes
                                           ? args.weight_row_bytes - at
                                           : Format::kWeightBytes);
    for (int i = member(); i < kTileOutputs<Tile> * kChunks; i += Tile::kTeamThreads) {
      const int row = i / kChunks;
      const int chunk = i % kChunks;
      const uint8_t* from = weight_row(args, place, row) + at;
      const int misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(from) % 16);
      if (chunk * 16 < left + misaligned)
        simt::copy_async<16>(to + row * Format::kWeightPitch + chunk * 16,
                             from - misaligned + chunk * 16);
    }
    to += kTileOutputs<Tile> * Format::kWeightPitch;
    const int rows = min_of(place.rows_left, args.staged_rows);
    const int values = min_of(args.cols - step * Format::kStep, Format::kStep);
    for (int p = 0; p < Format::kPlanes; ++p) stage_plane(args, place, step, to, p, rows, values);
  }

  static HEARTH_KERNEL void stage_plane(const Args& args, const Place& place, int step,
                                        unsigned char* to, int p, int rows, int values) {
    const int copy = Format::plane_copy(p);
    const int copies = Format::plane_step(p) / copy;
    const uint8_t* from = args.planes[p].data + place.row * args.planes[p].row_bytes +
                          static_cast<int64_t>(step) * Format::plane_step(p);
    for (int i = member(); i < rows * copies; i += Tile::kTeamThreads) {
      const int row = i / copies;
      const int at = i % copies * copy;
      if (at >= Format::plane_bytes(p, values)) continue;
      unsigned char* target = to + row * Format::kPlanePitch + Format::plane_offset(p) + at;
      const uint8_t* source = from + row * args.planes[p].row_bytes + at;
      if (copy == 16) {
        simt::copy_async<16>(target, source);
      } else {
        simt::copy_async<4>(target, source);
      }
    }
  }

  static HEARTH_KERNEL void consume(const Args& args, const Place& place, int step,
                                    const unsigned char* stage, Sums& sums) {
    const int warp = member() / simt::kWarp;
    const int row = simt::lane_index() / 4;
    const int quad = simt::lane_index() % 4;
    const int first_output = warp % Tile::kWarpsM * Tile::kM * 16;
    const int first_row = warp / Tile::kWarpsM * Tile::kN * 8;
    const int last_row = min_of(place.rows_left, args.staged_rows) - 1;
    typename Format::template Operands<Tile::kM, Tile::kN> operands;
    for (int m = 0; m < Tile::kM; ++m)
      for (int half = 0; half < 2; ++half) {
        const int i = first_output + m * 16 + half * 8 + row;
        const uint8_t* from =
            weight_row(args, place, i) + static_cast<int64_t>(step) * Format::kWeightBytes;
        operands.weight[m][half] =
            stage + i * Format::kWeightPitch + reinterpret_cast<uintptr_t>(from) % 16;
      }
    const unsigned char* x = stage + kTileOutputs<Tile> * Format::kWeightPitch;
    for (int n = 0; n < Tile::kN; ++n) {
      const int at = first_row + n * 8;
      operands.column[n] = x + min_of(at + row, last_row) * Format::kPlanePitch;
      for (int i = 0; i < 2; ++i)
        operands.sum_row[n][i] = x + min_of(at + 2 * quad + i, last_row) * Format::kPlanePitch;
    }
    const int values = min_of(args.cols - step * Format::kStep, Format::kStep);
    Format::consume(operands, values / 32, quad, sums);
  }

  /// The parts of all warps, added in order.
  static HEARTH_KERNEL void fold_parts(const Args& args, const Place& place, const Sums& sums) {
    auto* parts = reinterpret_cast<float*>(simt::shared_memory());
    constexpr int kRows = kTileRows<Tile>;
    constexpr int kSums = 16 * kRows;
    simt::sync_cta();  // the stages are read no more
    for (int n = 0; n < Tile::kN; ++n)
      for (int i = 0; i < 4; ++i) {
        const int output = simt::lane_index() / 4 + i / 2 * 8;
        const int row = n * 8 + simt::lane_index() % 4 * 2 + i % 2;
        parts[team() * kSums + row * 16 + output] = sums[0][n][i];
      }
    simt::sync_cta();
    for (int i = simt::thread_index(); i < kSums; i += kThreads) {
      float total = 0.0F;
      for (int part = 0; part < kParts; ++part) total += parts[part * kSums + i];
      put_output(args, place, i % 16, i / 16, total);
    }
  }

  static HEARTH_KERNEL void store(const Args& args, const Place& place, const Sums& totals,
                                  int part) {
    const int warp = member() / simt::kWarp;
    const int first_output = warp % Tile::kWarpsM * Tile::kM * 16;
    const int first_row = warp / Tile::kWarpsM * Tile::kN * 8;
    for (int m = 0; m < Tile::kM; ++m)
      for (int n = 0; n < Tile::kN; ++n)
        for (int i = 0; i < 4; ++i) {
          const int output = first_output + m * 16 + simt::lane_index() / 4 + i / 2 * 8;
          const int row = first_row + n * 8 + simt::lane_index() % 4 * 2 + i % 2;
          if (args.partial == nullptr) {
            put_output(args, place, output, row, totals[m][n][i]);
          } else if (place.output + output < place.job.outputs && row < place.rows_left) {
            args.partial[(static_cast<int64_t>(part) * args.rows + place.row + row) * args.outputs +
                         place.job.first_output + place.output + output] = totals[m][n][i];
          }
        }
  }
};

/// Adds up the parts that ctas left in `partial`: a thread for each output.
struct FoldKernel {
  using Args = TensorMatmulArgs;
  static constexpr int kThreads = 256;

  static HEARTH_KERNEL void run(const Args& m) {
    const int64_t at = static_cast<int64_t>(simt::cta_index().x) * kThreads + simt::thread_index();
    const int64_t count = int64_t{m.rows} * m.outputs;
    if (at >= count) return;
    float total = 0.0F;
    for (int part = 0; part < kParts; ++part) total += m.partial[part * count + at];
    const int64_t row = at / m.outputs;
    const auto of_launch = static_cast<int>(at % m.outputs);
    int index = 0;
    while (index + 1 < m.num_jobs && of_launch >= m.jobs[index + 1].first_output) ++index;
    const TensorJob& job = m.jobs[index];
    const int output = of_launch - job.first_output;
    int64_t bias_at = output;
    for (int e = 1; e < m.experts && m.begin[e] <= row; ++e) bias_at += job.outputs;
    finish_output(m, job, row, output, job.bias == nullptr ? nullptr : job.bias + bias_at, total);
  }
};

/// Stages that fit a cta, up to three; shared memory for a launch, 0 if not one stage fits.
template <typename Format, typename Tile>
size_t plan_shared(const simt::OpContext& op, TensorMatmulArgs& args) {
  constexpr int kTeams = TensorMatmul<Format, Tile>::kTeams;
  // Two for many rows, so that two ctas share a multiprocessor's memory.
  constexpr int kMostStages = Tile::kSplit ? 3 : 2;
  const bool whole = args.begin != nullptr || args.rows > kTileRows<Tile>;
  args.staged_rows = whole ? kTileRows<Tile> : args.rows;
  const auto bytes = static_cast<size_t>(stage_bytes<Format, Tile>(args.staged_rows)) * kTeams;
  args.stages = kMostStages;
  while (args.stages > 0 && bytes * static_cast<size_t>(args.stages) > op.shared_bytes_per_cta)
    --args.stages;
  const size_t fold =
      Tile::kSplit ? size_t{kParts} * 16 * kTileRows<Tile> * sizeof(float) : size_t{0};
  const size_t staged = bytes * static_cast<size_t>(args.stages);
  return args.stages == 0 ? 0 : std::max(staged, fold);
}

/// Launches `Tile`; false, and nothing is done, where the device has too little shared memory for
/// it. Scratch memory from `scratch_used` on is free.
template <typename Format, typename Tile>
bool launch_tile(const ExecContext& context, TensorMatmulArgs args, size_t scratch_used) {
  const simt::OpContext& op = simt::op_context(context);
  int tiles = 0;
  for (int j = 0; j < args.num_jobs; ++j) {
    args.jobs[j].first_tile = tiles;
    args.jobs[j].first_output = args.outputs;
    tiles += (args.jobs[j].outputs + kTileOutputs<Tile> - 1) / kTileOutputs<Tile>;
    args.outputs += args.jobs[j].outputs;
  }
  const size_t shared = plan_shared<Format, Tile>(op, args);
  if (args.stages == 0) return false;
  const int row_tiles =
      args.begin != nullptr ? 1 : (args.rows + kTileRows<Tile> - 1) / kTileRows<Tile>;
  const size_t partial_bytes = size_t{kParts} * static_cast<size_t>(args.rows) *
                               static_cast<size_t>(args.outputs) * sizeof(float);
  const int of_experts = expert_ctas(args);
  const int64_t ctas = int64_t{tiles} * row_tiles * of_experts;
  const bool share_parts = !Tile::kSplit && ctas < 2 * op.multiprocessors &&
                           scratch_used + partial_bytes <= op.scratch_bytes;
  if (share_parts)
    args.partial = reinterpret_cast<float*>(static_cast<unsigned char*>(op.scratch) + scratch_used);
  simt::launch<TensorMatmul<Format, Tile>>(
      context, {.x = tiles, .y = row_tiles, .z = of_experts * (share_parts ? kParts : 1)}, shared,
      args);
  if (share_parts) {
    const int64_t outputs = int64_t{args.rows} * args.outputs;
    const int64_t folds = (outputs + FoldKernel::kThreads - 1) / FoldKernel::kThreads;
    simt::launch<FoldKernel>(context, {.x = static_cast<int>(folds)}, 0, args);
  }
  return true;
}

/// The launch for this number of rows. kOneTile: types that few files have get by with one kernel.
template <typename Format, bool kOneTile>
void launch_tensor_matmul(const ExecContext& context, const TensorMatmulArgs& args,
                          size_t scratch_used) {
  if (args.rows == 0) return;
  const int rows_each = (args.rows + args.experts - 1) / args.experts;
  bool done = false;
  if constexpr (!kOneTile) {
    if (rows_each > kTileRows<MediumTile>)
      done = launch_tile<Format, WideTile>(context, args, scratch_used);
    if (!done && rows_each > kTileRows<SplitTile>)
      done = launch_tile<Format, MediumTile>(context, args, scratch_used);
  }
  if (!done) done = launch_tile<Format, SplitTile>(context, args, scratch_used);
  HEARTH_CHECK(done, "the smallest tile fits every device");
}

}  // namespace hearth::kernels::HEARTH_SIMT
