#pragma once
// The matmul of quantized weights for up to 8 rows without tensor cores: a lane for each of 32
// outputs, a warp for each part of the sum. Included by .cu files after simt.h.
//
// A tensor-core product of 1 row costs a warp as many instructions as one of 8, most of them to
// bring scales to every lane that holds a piece of a row of weights: too many for the memory of a
// large device to be the limit. Here a lane has whole rows of weights for itself, and loads each
// block's bytes and scales once. The sums are those of tensor_matmul.h: integers of a group are
// exact, and what is done to them in f32 is the same in the same order, so bits are equal.

#include "kernels/matmul/tensor_quantized.h"

namespace hearth::kernels::HEARTH_SIMT {

template <typename Block, int kNumRows>
struct DotMatmul {
  using Args = TensorMatmulArgs;
  using Format = QuantizedFormat<Block>;
  using Unpack = LaneUnpack<Block>;
  static constexpr int kRows = kNumRows;
  static constexpr int kThreads = kParts * simt::kWarp;
  static constexpr int kOutputs = simt::kWarp;  // of a cta
  static constexpr int kWeightBytes = Format::kWeightBytes;
  // Steps of whole 16 bytes begin at a multiple of 16; others anywhere, and are copied with what
  // surrounds them.
  static constexpr bool kAligned = kWeightBytes % 16 == 0;
  static constexpr int kChunks = kAligned ? kWeightBytes / 16 : (kWeightBytes + 30) / 16;
  // An odd number of 16 bytes: lanes that load from their rows at a time meet different banks.
  static constexpr int kPitch = (kChunks | 1) * 16;
  static constexpr int kStageBytes = kOutputs * kPitch + kRows * Format::kPlanePitch;

  static size_t shared_bytes(int stages) {
    const size_t staged = size_t{kParts} * kStageBytes * static_cast<size_t>(stages);
    const size_t fold = sizeof(float) * kParts * kOutputs * kRows;
    return staged > fold ? staged : fold;
  }

  static HEARTH_KERNEL void run(const Args& args) {
    at_places<kOutputs, kRows, kThreads>(
        args, [&args](const MatmulPlace& place) { compute(args, place); });
  }

  /// Where a lane's copies of a step begin; the same for each step but for its distance.
  struct Copies {
    uint32_t weight[kChunks];  // bytes from the tile's first row of weights
    const uint8_t* x[kRows];   // codes for lanes up to 15, then scales, then sums
  };

  static HEARTH_KERNEL void compute(const Args& args, const MatmulPlace& place) {
    const int steps = (args.cols + Format::kStep - 1) / Format::kStep;
    const int part = simt::warp_index();
    const int first = part_begin(part, steps);
    const int last = part_begin(part + 1, steps);
    unsigned char* base = simt::shared_memory() + part * args.stages * kStageBytes;
    const Copies copies = locate(args, place);
    for (int ahead = 0; ahead < args.stages; ++ahead)
      stage(args, place, copies, first + ahead, last, base + ahead * kStageBytes);
    float sums[kRows] = {};
    int slot = 0;
    for (int step = first; step < last; ++step) {
      if (args.stages >= 2) {
        simt::copy_async_wait<1>();
      } else {
        simt::copy_async_wait<0>();
      }
      simt::sync_warp();
      unsigned char* own = base + slot * kStageBytes;
      consume(args, place, step, own, sums);
      simt::sync_warp();
      stage(args, place, copies, step + args.stages, last, own);
      slot = slot + 1 == args.stages ? 0 : slot + 1;
    }
    simt::copy_async_wait<0>();
    fold_parts(args, place, sums);
  }

  static HEARTH_KERNEL Copies locate(const Args& args, const MatmulPlace& place) {
    const int lane = simt::lane_index();
    Copies copies;
    HEARTH_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      const int i = lane + j * simt::kWarp;
      const int row = min_of(i / kChunks, place.job.outputs - 1 - place.output);
      copies.weight[j] = static_cast<uint32_t>(row * args.weight_row_bytes) +
                         static_cast<uint32_t>(i % kChunks * 16);
    }
    const int p = lane < 16 ? 0 : lane < 24 ? 1 : 2;
    HEARTH_UNROLL
    for (int r = 0; r < kRows; ++r)
      copies.x[r] = args.planes[p].data +
                    (place.row + min_of(r, place.rows_left - 1)) * args.planes[p].row_bytes +
                    (p == 0 ? lane * 16 : lane % 8 * 4);
    return copies;
  }

  /// Copies a step of the warp's rows of weights and of x, if the step is before `last`.
  static HEARTH_KERNEL void stage(const Args& args, const MatmulPlace& place, const Copies& copies,
                                  int step, int last, unsigned char* to) {
    if (step < last) {
      const int lane = simt::lane_index();
      const int64_t at = static_cast<int64_t>(step) * kWeightBytes;
      const auto left = static_cast<int>(
          args.weight_row_bytes - at < kWeightBytes ? args.weight_row_bytes - at : kWeightBytes);
      const uint8_t* tile = place.weight + place.output * args.weight_row_bytes + at;
      HEARTH_UNROLL
      for (int j = 0; j < kChunks; ++j) {
        const int i = lane + j * simt::kWarp;
        const uint8_t* from = tile + copies.weight[j];
        const int misaligned =
            kAligned ? 0 : static_cast<int>(reinterpret_cast<uintptr_t>(from) % 16);
        if (i % kChunks * 16 < left + misaligned)
          simt::copy_async<16>(to + i / kChunks * kPitch + i % kChunks * 16, from - misaligned);
      }
      const int values = min_of(args.cols - step * Format::kStep, Format::kStep);
      stage_x(copies, step, values, to + kOutputs * kPitch);
    }
    simt::copy_async_commit();
  }

  static HEARTH_KERNEL void stage_x(const Copies& copies, int step, int values, unsigned char* to) {
    const int lane = simt::lane_index();
    HEARTH_UNROLL
    for (int r = 0; r < kRows; ++r) {
      unsigned char* row = to + r * Format::kPlanePitch;
      if (lane < 16) {
        if (lane * 16 < values)
          simt::copy_async<16>(row + lane * 16, copies.x[r] + step * Format::plane_step(0));
      } else if (lane % 8 * 32 < values) {
        // Scales, then sums: 8 words each that lie one after the other.
        simt::copy_async<4>(row + Format::plane_offset(1) + (lane - 16) * 4,
                            copies.x[r] + step * Format::plane_step(1));
      }
    }
  }

  static HEARTH_KERNEL void consume(const Args& args, const MatmulPlace& place, int step,
                                    const unsigned char* stage, float (&sums)[kRows]) {
    uint32_t words[kChunks * 4];
    const unsigned char* own = stage + simt::lane_index() * kPitch;
    load(words, own);
    if constexpr (!kAligned) {
      const uint8_t* from =
          weight_row(args, place, simt::lane_index()) + static_cast<int64_t>(step) * kWeightBytes;
      move_down(words, static_cast<int>(reinterpret_cast<uintptr_t>(from) % 16));
    }
    // All indices into it are constants: it stays in registers.
    alignas(16) uint8_t weights[sizeof(words)];
    memcpy(weights, words, sizeof(words));
    const unsigned char* x = stage + kOutputs * kPitch;
    const int groups = min_of(args.cols - step * Format::kStep, Format::kStep) / 32;
    if (groups == kStepGroups) {
      HEARTH_UNROLL
      for (int group = 0; group < kStepGroups; ++group) multiply(weights, group, x, sums);
    } else {
      HEARTH_UNROLL
      for (int group = 0; group < kStepGroups; ++group)
        if (group < groups) multiply(weights, group, x, sums);
    }
  }

 private:
  static constexpr int kStepGroups = Format::kStep / 32;
  static constexpr int kGroups = Format::kBlockValues / 32;

  static HEARTH_KERNEL void load(uint32_t (&words)[kChunks * 4], const unsigned char* from) {
    HEARTH_UNROLL
    for (int i = 0; i < kChunks; ++i) {
      const simt::Vec16 chunk = reinterpret_cast<const simt::Vec16*>(from)[i];
      HEARTH_UNROLL
      for (int w = 0; w < 4; ++w) words[4 * i + w] = chunk.word[w];
    }
  }

  /// Moves all bytes down by `bytes`, up to 15: by two words, by one, and by bytes of a word.
  static HEARTH_KERNEL void move_down(uint32_t (&words)[kChunks * 4], int bytes) {
    constexpr int kWords = kChunks * 4;
    HEARTH_UNROLL
    for (int by = 2; by > 0; --by) {
      const bool move = (bytes / 4 & by) != 0;
      HEARTH_UNROLL
      for (int w = 0; w + by < kWords; ++w) words[w] = move ? words[w + by] : words[w];
    }
    const uint32_t selector = 0x3210U + 0x1111U * static_cast<uint32_t>(bytes % 4);
    HEARTH_UNROLL
    for (int w = 0; w + 1 < kWords; ++w)
      words[w] = simt::byte_permute(words[w], words[w + 1], selector);
  }

  static HEARTH_KERNEL void multiply(const uint8_t* weights, int group, const unsigned char* x,
                                     float (&sums)[kRows]) {
    const uint8_t* block = weights + group / kGroups * static_cast<int>(sizeof(Block));
    LaneCodes codes[4];
    HEARTH_UNROLL
    for (int quad = 0; quad < 4; ++quad) codes[quad] = Unpack::codes(block, group % kGroups, quad);
    const LaneScales scales = Unpack::scales(block, group % kGroups);
    HEARTH_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const unsigned char* row = x + r * Format::kPlanePitch;
      simt::Vec16 of_x[2];
      for (int i = 0; i < 2; ++i)
        of_x[i] = reinterpret_cast<const simt::Vec16*>(row + 32 * group)[i];
      int32_t dots[2] = {0, 0};  // of the group's halves
      HEARTH_UNROLL
      for (int quad = 0; quad < 4; ++quad) {
        dots[0] = simt::dot4(codes[quad].low, of_x[quad / 2].word[quad % 2 * 2], dots[0]);
        dots[1] = simt::dot4(codes[quad].high, of_x[quad / 2].word[quad % 2 * 2 + 1], dots[1]);
      }
      const float scale = reinterpret_cast<const float*>(row + Format::plane_offset(1))[group];
      uint32_t both = 0;
      if constexpr (Unpack::kOffset != 0 || Unpack::kMin)
        both = reinterpret_cast<const uint32_t*>(row + Format::plane_offset(2))[group];
      const int32_t half_sums[2] = {static_cast<int16_t>(both), static_cast<int16_t>(both >> 16)};
      sums[r] = fmaf(Format::scaled_group(dots, half_sums, scales), scale, sums[r]);
    }
  }

  static HEARTH_KERNEL void fold_parts(const Args& args, const MatmulPlace& place,
                                       const float (&sums)[kRows]) {
    auto* parts = reinterpret_cast<float*>(simt::shared_memory());
    constexpr int kSums = kOutputs * kRows;
    simt::sync_cta();  // the stages are read no more
    HEARTH_UNROLL
    for (int r = 0; r < kRows; ++r)
      parts[simt::warp_index() * kSums + r * kOutputs + simt::lane_index()] = sums[r];
    simt::sync_cta();
    for (int i = simt::thread_index(); i < kSums; i += kThreads) {
      float total = 0.0F;
      for (int part = 0; part < kParts; ++part) total += parts[part * kSums + i];
      put_output(args, place, i % kOutputs, i / kOutputs, total);
    }
  }
};

template <typename Block, int kRows>
bool launch_dot(const ExecContext& context, TensorMatmulArgs args) {
  using Kernel = DotMatmul<Block, kRows>;
  const simt::OpContext& op = simt::op_context(context);
  args.stages = 2;
  if (Kernel::shared_bytes(2) > op.shared_bytes_per_cta) args.stages = 1;
  if (Kernel::shared_bytes(args.stages) > op.shared_bytes_per_cta) return false;
  int tiles = 0;
  for (int j = 0; j < args.num_jobs; ++j) {
    args.jobs[j].first_tile = tiles;
    tiles += (args.jobs[j].outputs + Kernel::kOutputs - 1) / Kernel::kOutputs;
  }
  const int row_tiles = args.begin != nullptr ? 1 : (args.rows + kRows - 1) / kRows;
  simt::launch<Kernel>(context, {.x = tiles, .y = row_tiles, .z = expert_ctas(args)},
                       Kernel::shared_bytes(args.stages), args);
  return true;
}

/// Up to 8 rows for each expert, or in all. False, and nothing is done, for more of them, and where
/// rows of weights do not begin where 16 bytes can be copied, or shared memory is too small.
template <typename Block>
bool dot_matmul(const ExecContext& context, const TensorMatmulArgs& args) {
  const int rows_each = (args.rows + args.experts - 1) / args.experts;
  if (args.rows == 0 || rows_each > 8) return false;
  if constexpr (DotMatmul<Block, 1>::kAligned) {
    if (args.weight_row_bytes % 16 != 0 || args.expert_bytes % 16 != 0) return false;
    for (int j = 0; j < args.num_jobs; ++j)
      if (reinterpret_cast<uintptr_t>(args.jobs[j].weight) % 16 != 0) return false;
  }
  if (rows_each == 1) return launch_dot<Block, 1>(context, args);
  if (rows_each <= 4) return launch_dot<Block, 4>(context, args);
  return launch_dot<Block, 8>(context, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
