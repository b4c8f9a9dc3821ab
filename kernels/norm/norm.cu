// RMSNorm, with or without the form of what it gives that matmuls read, and LayerNorm on the
// device: a warp for short rows, a cta for long ones.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/norm/cuda_norm.h"
#include "kernels/quant/cuda_half_rows.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// Threads of a longer row: 8 values of 4096 for each, so that a decode step's one row does not
/// wait long for the values of one thread.
constexpr int kLongRowThreads = 512;

/// kRowThreads threads share a row: thread t sums values t, t + kRowThreads, …, then the threads'
/// sums are folded in the order of simt::cta_sum.
template <int kRowThreads>
struct Row {
  static constexpr int kThreads = kRowThreads == simt::kWarp ? 256 : kRowThreads;
  static constexpr int kRowsPerCta = kThreads / kRowThreads;

  static HEARTH_KERNEL int64_t index() {
    return static_cast<int64_t>(simt::cta_index().x) * kRowsPerCta +
           simt::thread_index() / kRowThreads;
  }
  static HEARTH_KERNEL int thread() { return simt::thread_index() % kRowThreads; }
  static HEARTH_KERNEL float sum(float value) {
    if constexpr (kRowThreads == simt::kWarp) {
      return simt::warp_sum(value);
    } else {
      return simt::cta_sum<kThreads>(value, reinterpret_cast<float*>(simt::shared_memory()));
    }
  }
  static size_t shared_bytes() { return kRowThreads == simt::kWarp ? 0 : 32 * sizeof(float); }
};

template <int kRowThreads>
struct RmsNormKernel {
  using Args = RmsNormQuantizeArgs;  // half.value is null where that form is not wanted
  using Place = Row<kRowThreads>;
  static constexpr int kThreads = Place::kThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const RmsNormArgs& norm = args.norm;
    const int64_t row = Place::index();
    if (row >= norm.rows) return;  // all threads of the row
    const float* x = norm.x + row * norm.x_stride;
    float squares = 0.0F;
    for (int64_t i = Place::thread(); i < norm.cols; i += kRowThreads)
      squares = fmaf(x[i], x[i], squares);
    const float scale = rms_scale(Place::sum(squares), norm.cols, norm.eps);
    const auto value = [&](int64_t i) {
      return x[i] * scale * (norm.weight == nullptr ? 1.0F : norm.weight[i]);
    };
    const auto keep = [&](int64_t i, float of_i) {
      if (norm.out != nullptr) norm.out[row * norm.out_stride + i] = of_i;
    };
    if (args.half.value != nullptr) {
      convert(args, row, value, keep);
      return;
    }
    for (int64_t i = Place::thread(); i < norm.cols; i += kRowThreads) keep(i, value(i));
  }

  /// The parts of the row, by a warp in turn or by two warps each.
  template <typename Value, typename Keep>
  static HEARTH_KERNEL void convert(const Args& args, int64_t row, const Value& value,
                                    const Keep& keep) {
    auto* scratch = reinterpret_cast<uint32_t*>(simt::shared_memory());
    const auto cols = static_cast<int>(args.norm.cols);
    if constexpr (kRowThreads == simt::kWarp) {
      for (int part = 0; part < HalfRows::kParts; ++part)
        put_half_part<1>(value, keep, row, cols, part, scratch, args.half);
    } else {
      constexpr int kWarps = kThreads / simt::kWarp / HalfRows::kParts;
      put_half_part<kWarps>(value, keep, row, cols, simt::warp_index() / kWarps, scratch,
                            args.half);
    }
  }
};

template <int kRowThreads>
struct LayerNormKernel {
  using Args = LayerNormArgs;
  using Place = Row<kRowThreads>;
  static constexpr int kThreads = Place::kThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = Place::index();
    if (row >= args.rows) return;
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    float sum = 0.0F;
    for (int64_t i = Place::thread(); i < args.cols; i += kRowThreads) sum += x[i];
    const float mean = Place::sum(sum) / static_cast<float>(args.cols);
    float squares = 0.0F;
    for (int64_t i = Place::thread(); i < args.cols; i += kRowThreads) {
      const float difference = x[i] - mean;
      squares = fmaf(difference, difference, squares);
    }
    const float variance = Place::sum(squares) / static_cast<float>(args.cols);
    const float scale = 1.0F / sqrtf(variance + args.eps);
    for (int64_t i = Place::thread(); i < args.cols; i += kRowThreads) {
      const float bias = args.bias == nullptr ? 0.0F : args.bias[i];
      out[i] = fmaf((x[i] - mean) * scale, args.weight[i], bias);
    }
  }
};

/// A row of one cta or one warp, by its length alone.
template <template <int> typename Kernel, typename Args>
void launch_rows(const ExecContext& context, int64_t rows, int64_t cols, const Args& args) {
  if (rows <= 0) return;
  const auto run = [&]<int kRowThreads>() {
    using Place = Row<kRowThreads>;
    const int64_t ctas = (rows + Place::kRowsPerCta - 1) / Place::kRowsPerCta;
    simt::launch<Kernel<kRowThreads>>(context, {.x = static_cast<int>(ctas)}, Place::shared_bytes(),
                                      args);
  };
  if (cols <= kWarpNormCols) {
    run.template operator()<simt::kWarp>();
  } else {
    run.template operator()<kLongRowThreads>();
  }
}

}  // namespace

void rms_norm(const ExecContext& context, const RmsNormArgs& args) {
  launch_rows<RmsNormKernel>(context, args.rows, args.cols, RmsNormQuantizeArgs{args, {}, {}});
}

void rms_norm_quantize(const ExecContext& context, const RmsNormQuantizeArgs& args) {
  HEARTH_CHECK(args.norm.cols % 32 == 0, "rows are whole blocks of 32");
  launch_rows<RmsNormKernel>(context, args.norm.rows, args.norm.cols, args);
}

void layer_norm(const ExecContext& context, const LayerNormArgs& args) {
  launch_rows<LayerNormKernel>(context, args.rows, args.cols, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
