// RMSNorm and LayerNorm on the device: a warp for short rows, a cta for long ones.
#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/ops.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// Rows up to this long are a warp's: heads are, streams are not.
constexpr int64_t kWarpCols = 512;

/// kRowThreads threads share a row: thread t sums values t, t + kRowThreads, …, then the threads'
/// sums are folded in the order of simt::cta_sum.
template <int kRowThreads>
struct Row {
  static constexpr int kThreads = 256;
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
  using Args = RmsNormArgs;
  using Place = Row<kRowThreads>;
  static constexpr int kThreads = Place::kThreads;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = Place::index();
    if (row >= args.rows) return;  // all threads of the row
    const float* x = args.x + row * args.x_stride;
    float* out = args.out + row * args.out_stride;
    float squares = 0.0F;
    for (int64_t i = Place::thread(); i < args.cols; i += kRowThreads)
      squares = fmaf(x[i], x[i], squares);
    const float mean = Place::sum(squares) / static_cast<float>(args.cols);
    const float scale = 1.0F / sqrtf(mean + args.eps);
    for (int64_t i = Place::thread(); i < args.cols; i += kRowThreads)
      out[i] = x[i] * scale * (args.weight == nullptr ? 1.0F : args.weight[i]);
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
void launch_rows(const ExecContext& context, const Args& args) {
  if (args.rows <= 0) return;
  const auto run = [&]<int kRowThreads>() {
    using Place = Row<kRowThreads>;
    const int64_t ctas = (args.rows + Place::kRowsPerCta - 1) / Place::kRowsPerCta;
    simt::launch<Kernel<kRowThreads>>(context, {.x = static_cast<int>(ctas)}, Place::shared_bytes(),
                                      args);
  };
  if (args.cols <= kWarpCols) {
    run.template operator()<simt::kWarp>();
  } else {
    run.template operator()<256>();
  }
}

}  // namespace

void rms_norm(const ExecContext& context, const RmsNormArgs& args) {
  launch_rows<RmsNormKernel>(context, args);
}

void layer_norm(const ExecContext& context, const LayerNormArgs& args) {
  launch_rows<LayerNormKernel>(context, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
