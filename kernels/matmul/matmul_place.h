#pragma once
// What the matmul kernels of the device share: the arguments of a launch, and which outputs, rows
// and expert a cta has. Included by .cu files after simt.h.

#include <cstdint>

#include "kernels/cuda/simt.h"
#include "kernels/tensor_view.h"

namespace hearth::kernels::HEARTH_SIMT {

inline constexpr int kParts = HalfRows::kParts;
inline constexpr int kPartStep = 256;  // values: parts of rows are whole steps
inline constexpr int kMostJobs = 4;

struct TensorJob {
  const uint8_t* weight = nullptr;  // of expert 0
  const float* bias = nullptr;      // of expert 0, or null
  float* out = nullptr;
  int64_t out_stride = 0;
  int32_t outputs = 0;
  int32_t first_tile = 0;    // of the launch's tiles of outputs
  int32_t first_output = 0;  // of the launch's outputs: its place in `partial`
  bool accumulate = false;
};

/// One launch: jobs that share x and the type of weights, or one job for each expert.
struct TensorMatmulArgs {
  TensorJob jobs[kMostJobs];
  int32_t num_jobs = 0;
  int32_t cols = 0;
  int64_t weight_row_bytes = 0;
  const float* x_f32 = nullptr;       // [rows, cols], of plain multiplications
  const uint16_t* x = nullptr;        // [rows, cols], 16-bit floats of tensor cores
  const uint32_t* sums32 = nullptr;   // [rows, cols / 32], of x: pairs of f16 (HalfRows)
  const float* sums16 = nullptr;      // [rows, cols / 16]
  const float* part_scale = nullptr;  // [rows, kParts]: multiplies the sum of a part
  int32_t rows = 0;
  float unit = 1.0F;               // multiplies sums as well
  const int32_t* begin = nullptr;  // [experts + 1] rows of each expert, on the device; or null
  int32_t experts = 1;
  int64_t expert_bytes = 0;  // from an expert's weights to the next one's
  float* partial = nullptr;  // [kParts, rows, outputs of all jobs] if ctas share the parts
  int32_t outputs = 0;       // of all jobs
  int32_t stages = 0;
  int32_t staged_rows = 0;  // rows of x that a stage has room for
  int32_t tiles = 0;        // of outputs, of all jobs
  bool aligned = false;     // rows of weights begin at multiples of 16 bytes
  int32_t row_tiles = 0;    // ctas along x are tiles times these
};

/// Ctas along z, each for an expert: with fewer rows than experts one for each row, of which those
/// do something whose row is the first of its expert.
inline int expert_ctas(const TensorMatmulArgs& args) {
  return args.begin != nullptr && args.rows < args.experts ? args.rows : args.experts;
}

/// The expert of cta `z` of those; -1, in all threads, if there is nothing to do. Uses 4 bytes of
/// shared memory, which are free again.
template <int kThreads>
HEARTH_KERNEL int expert_at(const TensorMatmulArgs& args, int z) {
  if (args.begin == nullptr || args.rows >= args.experts) return z;
  auto* found = reinterpret_cast<int32_t*>(simt::shared_memory());
  if (simt::thread_index() == 0) *found = -1;
  simt::sync_cta();
  for (int e = simt::thread_index(); e < args.experts; e += kThreads)
    if (args.begin[e] == z && args.begin[e + 1] > z) *found = e;
  simt::sync_cta();
  const int expert = *found;
  simt::sync_cta();
  return expert;
}

struct TileIndex {
  int output;
  int row;
};

/// The tile of a cta. Ctas run in the order of x, where eight tiles of rows take turns at each tile
/// of outputs: they read its weights at about the same time, from the L2 cache, and the eight
/// tiles' x stays there until all outputs have met it.
HEARTH_KERNEL TileIndex tile_of(const TensorMatmulArgs& args, const simt::Ctas& cta) {
  constexpr int kBand = 8;
  const int band = cta.x / (kBand * args.tiles);
  const int in_band = cta.x % (kBand * args.tiles);
  const int left = args.row_tiles - band * kBand;
  const int height = left < kBand ? left : kBand;
  return {in_band / height, band * kBand + in_band % height};
}

/// What a cta works on.
struct MatmulPlace {
  const uint8_t* weight;
  const float* bias;
  TensorJob job;
  int output;     // the first
  int row;        // the first
  int rows_left;  // rows from there to the end
};

/// Calls `body` with each place of this cta: one, or the tiles of rows of its expert in turn.
template <int kOutputs, int kRows, int kThreads, typename Body>
HEARTH_KERNEL void at_places(const TensorMatmulArgs& args, const Body& body) {
  const simt::Ctas cta = simt::cta_index();
  const TileIndex tile = tile_of(args, cta);
  int index = 0;
  while (index + 1 < args.num_jobs && tile.output >= args.jobs[index + 1].first_tile) ++index;
  MatmulPlace place{nullptr, nullptr, args.jobs[index], 0, tile.row * kRows, 0};
  place.output = (tile.output - place.job.first_tile) * kOutputs;
  const int expert = expert_at<kThreads>(args, args.partial == nullptr ? cta.z : cta.z / kParts);
  if (expert < 0) return;
  place.weight = place.job.weight + expert * args.expert_bytes;
  place.bias = place.job.bias;
  if (place.bias != nullptr) place.bias += static_cast<int64_t>(expert) * place.job.outputs;
  if (args.begin == nullptr) {
    place.rows_left = args.rows - place.row;
    body(place);
    return;
  }
  const int end = args.begin[expert + 1];
  for (place.row = args.begin[expert]; place.row < end; place.row += kRows) {
    place.rows_left = end - place.row;
    body(place);
    simt::sync_cta();  // the next rows use the same shared memory
  }
}

HEARTH_KERNEL int min_of(int a, int b) { return a < b ? a : b; }

/// The first step of a part.
HEARTH_KERNEL int part_begin(int part, int steps) { return steps * part / kParts; }

/// The row of weights that output `i` of the tile reads: rows beyond the last read that one, and
/// are not stored.
HEARTH_KERNEL const uint8_t* weight_row(const TensorMatmulArgs& args, const MatmulPlace& place,
                                        int i) {
  const int output = min_of(place.output + i, place.job.outputs - 1);
  return place.weight + output * args.weight_row_bytes;
}

/// Writes output `output` of row `row` from the sum of all its parts.
HEARTH_KERNEL void finish_output(const TensorJob& job, int64_t row, int output, const float* bias,
                                 float total) {
  if (bias != nullptr) total += *bias;
  float& out = job.out[row * job.out_stride + output];
  out = job.accumulate ? out + total : total;
}

/// The same by their places in the tile; nothing where they lie beyond the last.
HEARTH_KERNEL void put_output(const MatmulPlace& place, int output_in_tile, int row_in_tile,
                              float total) {
  const int output = place.output + output_in_tile;
  if (output >= place.job.outputs || row_in_tile >= place.rows_left) return;
  finish_output(place.job, place.row + row_in_tile, output,
                place.bias == nullptr ? nullptr : place.bias + output, total);
}

}  // namespace hearth::kernels::HEARTH_SIMT
