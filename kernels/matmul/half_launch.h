#pragma once
// Launches of the tensor-core matmul (half_matmul.h): which tile, how many stages, how many ctas.
// Included by .cu files after simt.h.

#include "kernels/matmul/half_matmul.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Stages that fit a cta, 2 to 5; shared memory for a launch, 0 if two do not fit.
template <typename Format, typename Tile>
size_t plan_half(const simt::OpContext& op, TensorMatmulArgs& args) {
  using Kernel = HalfMatmul<Format, Tile>;
  const bool whole = !Tile::kSplit || args.begin != nullptr || args.rows > Tile::kRows;
  args.staged_rows = whole ? Tile::kRows : args.rows;
  const size_t fold =
      Tile::kSplit ? size_t{kParts} * Tile::kOutputs * Tile::kRows * sizeof(float) : size_t{0};
  const int most = Tile::kSplit ? Format::kSplitStages : 4 + Kernel::kLag;
  for (args.stages = most; args.stages >= 2 + Kernel::kLag; --args.stages) {
    const HalfLayout layout = Kernel::Stages::layout(args.stages, args.staged_rows);
    const size_t bytes = std::max(static_cast<size_t>(layout.team_bytes()) * Kernel::kTeams, fold);
    if (bytes <= op.shared_bytes_per_cta) return bytes;
  }
  return 0;
}

/// Launches `Tile`; false, and nothing is done, where the device has too little shared memory for
/// it. Scratch memory from `scratch_used` on is free.
template <typename Format, typename Tile>
bool launch_half_tile(const ExecContext& context, TensorMatmulArgs args, size_t scratch_used) {
  const simt::OpContext& op = simt::op_context(context);
  int tiles = 0;
  for (int j = 0; j < args.num_jobs; ++j) {
    args.jobs[j].first_tile = tiles;
    args.jobs[j].first_output = args.outputs;
    tiles += (args.jobs[j].outputs + Tile::kOutputs - 1) / Tile::kOutputs;
    args.outputs += args.jobs[j].outputs;
  }
  const size_t shared = plan_half<Format, Tile>(op, args);
  if (shared == 0) return false;
  args.tiles = tiles;
  args.unit = Format::kUnit;
  args.row_tiles = args.begin != nullptr ? 1 : (args.rows + Tile::kRows - 1) / Tile::kRows;
  const size_t partial_bytes = size_t{kParts} * static_cast<size_t>(args.rows) *
                               static_cast<size_t>(args.outputs) * sizeof(float);
  const int of_experts = expert_ctas(args);
  const int64_t ctas = int64_t{tiles} * args.row_tiles;
  HEARTH_CHECK(ctas <= INT32_MAX, "a matmul's tiles are within 2^31");
  const bool share_parts = !Tile::kSplit && ctas * of_experts * 2 <= op.multiprocessors &&
                           scratch_used + partial_bytes <= op.scratch_bytes;
  if (share_parts)
    args.partial = reinterpret_cast<float*>(static_cast<unsigned char*>(op.scratch) + scratch_used);
  simt::launch<HalfMatmul<Format, Tile>>(
      context, {.x = static_cast<int>(ctas), .z = of_experts * (share_parts ? kParts : 1)}, shared,
      args);
  if (share_parts) {
    const int64_t outputs = int64_t{args.rows} * args.outputs;
    const int64_t folds = (outputs + HalfFoldKernel::kThreads - 1) / HalfFoldKernel::kThreads;
    simt::launch<HalfFoldKernel>(context, {.x = static_cast<int>(folds)}, 0, args);
  }
  return true;
}

/// Whether all rows of weights begin at multiples of 16 bytes.
inline bool rows_are_aligned(const TensorMatmulArgs& args) {
  if (args.weight_row_bytes % 16 != 0 || args.expert_bytes % 16 != 0) return false;
  return std::all_of(args.jobs, args.jobs + args.num_jobs, [](const TensorJob& job) {
    return reinterpret_cast<uintptr_t>(job.weight) % 16 == 0;
  });
}

/// Whether the launch has a tile for most multiprocessors.
template <typename Tile>
bool fills_device(const ExecContext& context, const TensorMatmulArgs& args) {
  int64_t tiles = 0;
  for (int j = 0; j < args.num_jobs; ++j)
    tiles += (args.jobs[j].outputs + Tile::kOutputs - 1) / Tile::kOutputs;
  const int64_t ctas = tiles * ((args.rows + Tile::kRows - 1) / Tile::kRows);
  return ctas * 4 >= int64_t{simt::op_context(context).multiprocessors} * 3;
}

/// The launch for this number of rows. kOneTile: types that few files have get by with one kernel.
template <typename Format, bool kOneTile>
void launch_half_matmul(const ExecContext& context, TensorMatmulArgs args, size_t scratch_used) {
  if (args.rows == 0) return;
  args.aligned = rows_are_aligned(args);
  const int rows_each = (args.rows + args.experts - 1) / args.experts;
  using Few = SplitTile<Format::kSplitTiles>;
  bool done = false;
  if constexpr (!kOneTile) {
    const bool groups = simt::op_context(context).has_group_products;
    if (groups && rows_each > WideTile::kRows && fills_device<GroupTile<16>>(context, args))
      done = launch_half_tile<Format, GroupTile<16>>(context, args, scratch_used);
    if (!done && groups && rows_each > MediumTile::kRows)
      done = launch_half_tile<Format, GroupTile<8>>(context, args, scratch_used);
    if (!done && rows_each > WideTile::kRows && fills_device<SquareTile>(context, args))
      done = launch_half_tile<Format, SquareTile>(context, args, scratch_used);
    if (!done && rows_each > MediumTile::kRows)
      done = launch_half_tile<Format, WideTile>(context, args, scratch_used);
    if (!done && rows_each > Few::kRows)
      done = launch_half_tile<Format, MediumTile>(context, args, scratch_used);
  }
  if (!done) done = launch_half_tile<Format, Few>(context, args, scratch_used);
  if constexpr (Format::kSplitTiles > 1)
    if (!done) done = launch_half_tile<Format, SplitTile<1>>(context, args, scratch_used);
  HEARTH_CHECK(done, "the smallest tile fits every device");
}

}  // namespace hearth::kernels::HEARTH_SIMT
