// Float weights on the device: on the tensor cores where the type and the shape let them, else by
// plain multiplications.
#include "kernels/cuda/simt.h"
//
#include "kernels/matmul/cuda_matmul.h"
#include "kernels/matmul/gemm_matmul.h"
#include "kernels/matmul/half_launch.h"
#include "kernels/matmul/tensor_float.h"
#include "kernels/quant/cuda_half_rows.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// x as 16-bit floats of the weights' type, one for each value. BF16 has the range of f32: its
/// scales are ones.
struct RoundArgs {
  const float* x;     // [rows, cols]
  uint16_t* out;      // [rows, cols]
  float* part_scale;  // [rows, kParts]
  int32_t cols;
  bool bf16;
};

/// A cta for each part of each row.
struct RoundRowsKernel {
  using Args = RoundArgs;
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = simt::cta_index().x;
    const int part = simt::cta_index().y;
    const int steps = (args.cols + kPartStep - 1) / kPartStep;
    const int begin = part_begin(part, steps) * kPartStep;
    const int end = min_of(part_begin(part + 1, steps) * kPartStep, args.cols);
    const float* x = args.x + row * args.cols;
    float scale = 1.0F;
    if (!args.bf16) {
      uint32_t bits = 0;
      for (int i = begin + simt::thread_index(); i < end; i += kThreads) {
        const uint32_t of_x = float_to_bits(x[i]) & 0x7FFFFFFFU;
        bits = of_x > bits ? of_x : bits;
      }
      scale =
          part_scale_of(team_max<kWarps>(bits, reinterpret_cast<uint32_t*>(simt::shared_memory())));
    }
    if (simt::thread_index() == 0) args.part_scale[row * kParts + part] = scale;
    const float inverse = inverse_of_power(scale);
    for (int i = begin + simt::thread_index(); i < end; i += kThreads)
      args.out[row * args.cols + i] = args.bf16 ? f32_to_bf16(x[i]) : f32_to_f16(x[i] * inverse);
  }
};

/// A warp for each output and 8 rows: lane l multiplies values l, l + 32, …, or of F32 weights
/// whose rows are whole vectors 4 l … + 3, 4 l + 128 … + 131, …; the lanes are folded by halves.
struct FloatArgs {
  TensorMatmulArgs matmul;
  DType type;
  bool vectors;
};

struct FloatMatmulKernel {
  using Args = FloatArgs;
  static constexpr int kThreads = 256;
  static constexpr int kRows = 8;
  static constexpr int kOutputs = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const simt::Ctas cta = simt::cta_index();
    const TensorMatmulArgs& m = args.matmul;
    int index = 0;
    while (index + 1 < m.num_jobs && cta.x >= m.jobs[index + 1].first_tile) ++index;
    const TensorJob& job = m.jobs[index];
    const int output = (cta.x - job.first_tile) * kOutputs + simt::warp_index();
    const int expert = expert_at<kThreads>(m, cta.z);
    if (expert < 0 || output >= job.outputs) return;  // the whole warp
    const uint8_t* weight = job.weight + expert * m.expert_bytes + output * m.weight_row_bytes;
    const int64_t bias_at = static_cast<int64_t>(expert) * job.outputs + output;
    const float bias = job.bias == nullptr ? 0.0F : job.bias[bias_at];
    int row = cta.y * kRows;
    int end = row + kRows < m.rows ? row + kRows : m.rows;
    if (m.begin != nullptr) {
      row = m.begin[expert];
      end = m.begin[expert + 1];
    }
    for (; row < end; row += kRows)
      multiply(args, job, weight, bias, output, row, row + kRows < end ? row + kRows : end);
  }

  static HEARTH_KERNEL float weight_at(DType type, const uint8_t* weight, int64_t i) {
    if (type == DType::kF32) return reinterpret_cast<const float*>(weight)[i];
    const uint16_t bits = reinterpret_cast<const uint16_t*>(weight)[i];
    return type == DType::kF16 ? simt::half_to_float(bits) : bf16_to_f32(bits);
  }

  static HEARTH_KERNEL void add_values(const Args& args, const uint8_t* weight, int begin, int end,
                                       float (&sums)[kRows]) {
    const int64_t cols = args.matmul.cols;
    const auto* x = args.matmul.x_f32;
    for (int64_t i = simt::lane_index(); i < cols; i += simt::kWarp) {
      const float w = weight_at(args.type, weight, i);
      HEARTH_UNROLL
      for (int r = 0; r < kRows; ++r)
        if (begin + r < end) sums[r] = fmaf(w, x[(begin + r) * cols + i], sums[r]);
    }
  }

  /// A router's few rows of weights do not fill the device: what counts is how many loads of a lane
  /// are on their way at a time.
  static HEARTH_KERNEL void add_vectors(const TensorMatmulArgs& args, const simt::Vec16* weight,
                                        int begin, int end, float (&sums)[kRows]) {
    constexpr int kAhead = 4;
    const int vectors = args.cols / 4;
    const auto* x = reinterpret_cast<const simt::Vec16*>(args.x_f32);
    for (int first = simt::lane_index(); first < vectors; first += kAhead * simt::kWarp) {
      simt::Vec16 w[kAhead];
      HEARTH_UNROLL
      for (int a = 0; a < kAhead; ++a)
        if (first + a * simt::kWarp < vectors) w[a] = weight[first + a * simt::kWarp];
      for (int row = begin; row < end; ++row) {
        const simt::Vec16* of_row = x + static_cast<int64_t>(row) * vectors;
        float sum = 0.0F;
        HEARTH_UNROLL
        for (int r = 0; r < kRows; ++r) sum = row - begin == r ? sums[r] : sum;
        HEARTH_UNROLL
        for (int a = 0; a < kAhead; ++a)
          if (first + a * simt::kWarp < vectors)
            sum = dot(w[a], of_row[first + a * simt::kWarp], sum);
        HEARTH_UNROLL
        for (int r = 0; r < kRows; ++r) sums[r] = row - begin == r ? sum : sums[r];
      }
    }
  }

  static HEARTH_KERNEL float dot(const simt::Vec16& a, const simt::Vec16& b, float sum) {
    HEARTH_UNROLL
    for (int i = 0; i < 4; ++i)
      sum = fmaf(float_from_bits(a.word[i]), float_from_bits(b.word[i]), sum);
    return sum;
  }

  static HEARTH_KERNEL void multiply(const Args& args, const TensorJob& job, const uint8_t* weight,
                                     float bias, int output, int begin, int end) {
    float sums[kRows] = {};
    if (args.vectors) {
      add_vectors(args.matmul, reinterpret_cast<const simt::Vec16*>(weight), begin, end, sums);
    } else {
      add_values(args, weight, begin, end, sums);
    }
    for (int r = 0; r < kRows; ++r) {
      const float sum = simt::warp_sum(sums[r]);
      if (simt::lane_index() != 0 || begin + r >= end) continue;
      float& out = job.out[(begin + r) * job.out_stride + output];
      const float total = sum + bias;
      out = job.accumulate ? out + total : total;
    }
  }
};

/// Whether rows of F32 weights can be loaded 16 bytes at a time.
bool has_vectors(DType type, const TensorMatmulArgs& args) {
  const auto aligned = [](const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; };
  if (type != DType::kF32 || args.cols % 4 != 0 || args.weight_row_bytes % 16 != 0 ||
      args.expert_bytes % 16 != 0 || !aligned(args.x_f32))
    return false;
  return std::all_of(args.jobs, args.jobs + args.num_jobs,
                     [&](const TensorJob& job) { return aligned(job.weight); });
}

void launch_plain(const ExecContext& context, DType type, TensorMatmulArgs args) {
  int tiles = 0;
  for (int j = 0; j < args.num_jobs; ++j) {
    args.jobs[j].first_tile = tiles;
    tiles += (args.jobs[j].outputs + FloatMatmulKernel::kOutputs - 1) / FloatMatmulKernel::kOutputs;
  }
  const int row_tiles = args.begin != nullptr
                            ? 1
                            : (args.rows + FloatMatmulKernel::kRows - 1) / FloatMatmulKernel::kRows;
  simt::launch<FloatMatmulKernel>(context, {.x = tiles, .y = row_tiles, .z = expert_ctas(args)},
                                  sizeof(int32_t), {args, type, has_vectors(type, args)});
}

/// Whether the tensor cores of this device take the type, rows are whole groups, and 16 bytes of
/// them can be loaded at once.
bool suits_tensor_cores(const simt::OpContext& op, DType type, const TensorMatmulArgs& args) {
  return args.cols % 32 == 0 && rows_are_aligned(args) &&
         (type == DType::kF16 || (type == DType::kBF16 && op.capability >= 80));
}

}  // namespace

void launch_float(const ExecContext& context, DType type, TensorMatmulArgs args,
                  const ActivationView& x) {
  if (args.rows == 0) return;
  const simt::OpContext& op = simt::op_context(context);
  args.x_f32 = x.f32;
  if (!suits_tensor_cores(op, type, args)) {
    HEARTH_CHECK(x.f32 != nullptr, "these shapes read f32");
    launch_plain(context, type, args);
    return;
  }
  if (launch_gemm_float(context, type, args)) return;
  if (type == DType::kF16 && x.half.in_order) {
    args.x = x.half.value;
    args.part_scale = x.half.scale;
    launch_half_matmul<FloatFormat<false>, false>(context, args, 0);
    return;
  }
  const size_t values = static_cast<size_t>(args.rows) * static_cast<size_t>(args.cols);
  const size_t scales = static_cast<size_t>(args.rows) * kParts;
  const size_t used = values * sizeof(uint16_t) + scales * sizeof(float);
  HEARTH_CHECK(op.scratch_bytes >= used, "the scratch memory holds the rounded input");
  auto* rounded = static_cast<uint16_t*>(op.scratch);
  auto* part_scale = reinterpret_cast<float*>(rounded + values);
  const bool bf16 = type == DType::kBF16;
  simt::launch<RoundRowsKernel>(context, {.x = args.rows, .y = kParts}, 32 * sizeof(uint32_t),
                                {x.f32, rounded, part_scale, args.cols, bf16});
  args.x = rounded;
  args.part_scale = part_scale;
  if (bf16) {
    launch_half_matmul<FloatFormat<true>, false>(context, args, used);
  } else {
    launch_half_matmul<FloatFormat<false>, false>(context, args, used);
  }
}

}  // namespace hearth::kernels::HEARTH_SIMT
