// f32 activations to 16-bit floats on the device: a cta for each part of each row.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/quant/cuda_half_rows.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

struct QuantizeKernel {
  using Args = QuantizeArgs;
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t row = simt::cta_index().x / HalfRows::kParts;
    const float* x = args.x + row * args.cols;
    put_half_part<kWarps>([x](int i) { return x[i]; }, [](int, float) {}, row,
                          static_cast<int>(args.cols), simt::cta_index().x % HalfRows::kParts,
                          reinterpret_cast<uint32_t*>(simt::shared_memory()), args.half);
  }
};

}  // namespace

void quantize(const ExecContext& context, const QuantizeArgs& args) {
  HEARTH_CHECK(args.cols % 32 == 0, "rows are whole blocks of 32");
  if (args.rows == 0) return;
  const int64_t ctas = args.rows * HalfRows::kParts;
  simt::launch<QuantizeKernel>(context, {.x = static_cast<int>(ctas)},
                               QuantizeKernel::kWarps * sizeof(uint32_t), args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
