// Matmuls of many rows by a library.
#include "kernels/cuda/simt.h"
//
#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/gemm.h"
#include "kernels/matmul/gemm_matmul.h"
#include "kernels/quant/cuda_half_rows.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// The scratch memory, given out piece by piece.
class Scratch {
 public:
  explicit Scratch(const simt::OpContext& op)
      : at_(static_cast<unsigned char*>(op.scratch)), left_(op.scratch_bytes) {}

  /// Pieces begin at multiples of 256 bytes, as allocations do.
  template <typename T>
  T* take(size_t count) {
    constexpr size_t kAlignment = 256;
    const size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    HEARTH_CHECK(bytes <= left_, "the scratch memory holds a product's operands");
    auto* piece = reinterpret_cast<T*>(at_);
    at_ += bytes;
    left_ -= bytes;
    return piece;
  }

  /// Of `wanted` pieces of so many floats, how many one take() can have: at least one.
  [[nodiscard]] int most(int wanted, size_t floats) const {
    constexpr int kTile = 128;  // no library's tiles are larger: bands are whole ones
    const size_t fit = left_ / 256 * 256 / (floats * sizeof(float));
    HEARTH_CHECK(fit > 0, "the scratch memory holds a band of a product");
    if (fit >= static_cast<size_t>(wanted)) return wanted;
    const int count = static_cast<int>(fit);
    return count < kTile ? count : count / kTile * kTile;
  }

 private:
  unsigned char* at_;
  size_t left_;
};

/// x as 16-bit floats of the weights' type. A row of F16 is divided by one power of two, as parts
/// of rows are for our own kernels; BF16 has the range of f32.
struct RoundWholeRowsArgs {
  const float* x;   // [rows, cols]
  uint32_t* pairs;  // [rows, cols / 2]
  float* scale;     // [rows]; null: BF16
  int32_t cols;
};

/// A cta for each row.
struct RoundWholeRowsKernel {
  using Args = RoundWholeRowsArgs;
  static constexpr int kThreads = 256;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = simt::cta_index().x;
    const float* x = args.x + row * args.cols;
    uint32_t* pairs = args.pairs + row * (args.cols / 2);
    const float inverse = args.scale == nullptr ? 1.0F : inverse_of_power(scale_of(args, x, row));
    for (int i = simt::thread_index(); i < args.cols / 2; i += kThreads)
      pairs[i] = args.scale == nullptr ? simt::pack_bf16(x[2 * i], x[2 * i + 1])
                                       : simt::pack_f16(x[2 * i] * inverse, x[2 * i + 1] * inverse);
  }

  static HEARTH_KERNEL float scale_of(const Args& args, const float* x, int64_t row) {
    uint32_t bits = 0;
    for (int i = simt::thread_index(); i < args.cols; i += kThreads) {
      const uint32_t of_x = float_to_bits(x[i]) & 0x7FFFFFFFU;
      bits = of_x > bits ? of_x : bits;
    }
    auto* shared = reinterpret_cast<uint32_t*>(simt::shared_memory());
    const float scale = part_scale_of(team_max<kThreads / simt::kWarp>(bits, shared));
    if (simt::thread_index() == 0) args.scale[row] = scale;
    return scale;
  }
};

/// HalfRows as the f32 that they stand for.
struct ExpandRowsArgs {
  const uint16_t* half;     // [rows, cols], as HalfRows
  const float* part_scale;  // [rows, kParts]
  float* out;               // [rows, cols]
  int32_t cols;
};

/// A cta for each part of each row.
struct ExpandRowsKernel {
  using Args = ExpandRowsArgs;
  static constexpr int kThreads = 256;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = simt::cta_index().x;
    const int part = simt::cta_index().y;
    const int steps = (args.cols + kPartStep - 1) / kPartStep;
    const int begin = part_begin(part, steps) * kPartStep;
    const int end = min_of(part_begin(part + 1, steps) * kPartStep, args.cols);
    const float scale = args.part_scale[row * kParts + part];
    const uint16_t* half = args.half + row * args.cols;
    float* out = args.out + row * args.cols;
    for (int i = begin + simt::thread_index(); i < end; i += kThreads)
      out[i] = simt::half_to_float(half[i / 32 * 32 + simt::half_offset(i % 32)]) * scale;
  }
};

/// What the library does not do: the scales of rows, the bias, and with a scale what is in out.
struct FinishArgs {
  TensorJob job;
  const float* product;  // [rows, job.outputs]; may be job.out
  int64_t product_stride;
  const float* scale;  // [rows]; null: ones
};

/// A cta for kOutputs outputs of a row.
struct FinishKernel {
  using Args = FinishArgs;
  static constexpr int kThreads = 256;
  static constexpr int kOutputs = 4 * kThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = simt::cta_index().x;
    const int begin = simt::cta_index().y * kOutputs;
    const int end = min_of(begin + kOutputs, args.job.outputs);
    const float scale = args.scale == nullptr ? 1.0F : args.scale[row];
    const float* bias = args.job.bias;
    for (int i = begin + simt::thread_index(); i < end; i += kThreads)
      finish_output(args.job, row, i, bias == nullptr ? nullptr : bias + i,
                    args.product[row * args.product_stride + i] * scale);
  }
};

bool takes_library(const simt::OpContext& op, const TensorMatmulArgs& args) {
  return op.gemm != nullptr && args.begin == nullptr && args.rows > kMostOwnRows;
}

/// Outputs first, first + 1, … of a job.
TensorJob band_of(TensorJob job, int first, int count, int64_t weight_row_bytes) {
  job.weight += first * weight_row_bytes;
  if (job.bias != nullptr) job.bias += first;
  job.out += first;
  job.outputs = count;
  return job;
}

/// A band of a job, whose weights and x `gemm` names. products: [rows, job.outputs], where the
/// library may not write to the output itself; else null.
void multiply_band(const ExecContext& context, simt::GemmArgs gemm, TensorJob job,
                   const float* scale, float* products) {
  const simt::OpContext& op = simt::op_context(context);
  gemm.outputs = job.outputs;
  gemm.out = products == nullptr ? job.out : products;
  gemm.out_stride = products == nullptr ? job.out_stride : job.outputs;
  gemm.accumulate = job.accumulate && products == nullptr;
  op.gemm->multiply(op, gemm);
  if (scale == nullptr && job.bias == nullptr) return;
  job.accumulate = products != nullptr;  // else the library has added what was there
  const int tiles = (job.outputs + FinishKernel::kOutputs - 1) / FinishKernel::kOutputs;
  simt::launch<FinishKernel>(context, {.x = gemm.rows, .y = tiles}, 0,
                             {job, gemm.out, gemm.out_stride, scale});
}

/// What the bands of a launch's jobs have in common.
simt::GemmArgs gemm_for(const TensorMatmulArgs& args, simt::GemmType type, const void* x,
                        int64_t weight_stride) {
  return {
      .type = type, .weight_stride = weight_stride, .x = x, .rows = args.rows, .cols = args.cols};
}

/// A job of F16 or BF16 weights. Where rows have scales and what is in out counts, products lie
/// apart, for as many outputs as there is scratch memory.
void multiply_job(const ExecContext& context, simt::GemmArgs gemm, const TensorJob& job,
                  int64_t weight_row_bytes, const float* scale, Scratch scratch) {
  const bool apart = job.accumulate && scale != nullptr;
  const auto rows = static_cast<size_t>(gemm.rows);
  const int band = apart ? scratch.most(job.outputs, rows) : job.outputs;
  float* products = apart ? scratch.take<float>(rows * static_cast<size_t>(band)) : nullptr;
  for (int first = 0; first < job.outputs; first += band) {
    const TensorJob part =
        band_of(job, first, std::min(band, job.outputs - first), weight_row_bytes);
    gemm.weight = part.weight;
    multiply_band(context, gemm, part, scale, products);
  }
}

}  // namespace

bool launch_gemm_float(const ExecContext& context, DType type, const TensorMatmulArgs& args) {
  const simt::OpContext& op = simt::op_context(context);
  if (!takes_library(op, args)) return false;
  HEARTH_CHECK(args.cols % 2 == 0, "rows are pairs of 16-bit floats");
  const bool bf16 = type == DType::kBF16;
  const auto rows = static_cast<size_t>(args.rows);
  Scratch scratch(op);
  auto* pairs = scratch.take<uint32_t>(rows * static_cast<size_t>(args.cols / 2));
  auto* scale = bf16 ? nullptr : scratch.take<float>(rows);
  simt::launch<RoundWholeRowsKernel>(context, {.x = args.rows}, 32 * sizeof(uint32_t),
                                     {args.x_f32, pairs, scale, args.cols});
  const simt::GemmArgs gemm =
      gemm_for(args, bf16 ? simt::GemmType::kBF16 : simt::GemmType::kF16, pairs,
               args.weight_row_bytes / static_cast<int64_t>(sizeof(uint16_t)));
  for (int j = 0; j < args.num_jobs; ++j)
    multiply_job(context, gemm, args.jobs[j], args.weight_row_bytes, scale, scratch);
  return true;
}

bool launch_gemm_dequantized(const ExecContext& context, const TensorMatmulArgs& args,
                             Dequantize dequantize) {
  const simt::OpContext& op = simt::op_context(context);
  if (!takes_library(op, args)) return false;
  const auto cols = static_cast<size_t>(args.cols);
  Scratch scratch(op);
  auto* x = scratch.take<float>(static_cast<size_t>(args.rows) * cols);
  simt::launch<ExpandRowsKernel>(context, {.x = args.rows, .y = kParts}, 0,
                                 {args.x, args.part_scale, x, args.cols});
  simt::GemmArgs gemm = gemm_for(args, simt::GemmType::kTF32, x, args.cols);
  for (int j = 0; j < args.num_jobs; ++j) {
    const TensorJob& job = args.jobs[j];
    Scratch of_job = scratch;
    const int band = of_job.most(job.outputs, cols);
    auto* weight = of_job.take<float>(static_cast<size_t>(band) * cols);
    gemm.weight = weight;
    for (int first = 0; first < job.outputs; first += band) {
      const TensorJob part =
          band_of(job, first, std::min(band, job.outputs - first), args.weight_row_bytes);
      dequantize(context, {part.weight, args.weight_row_bytes, part.outputs, args.cols, weight});
      multiply_band(context, gemm, part, nullptr, nullptr);
    }
  }
  return true;
}

}  // namespace hearth::kernels::HEARTH_SIMT
