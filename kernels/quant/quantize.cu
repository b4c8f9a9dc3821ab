// f32 activations to int8 on the device: a warp for each block of 32, a lane for each value.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/quant/cuda_quantize.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

struct QuantizeKernel {
  using Args = QuantizeArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocksPerCta = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t block =
        static_cast<int64_t>(simt::cta_index().x) * kBlocksPerCta + simt::warp_index();
    if (block >= args.rows * (args.cols / 32)) return;  // the whole warp
    WarpQuantizer::put(args.x[block * 32 + simt::lane_index()], block, args.out);
  }
};

}  // namespace

void quantize(const ExecContext& context, const QuantizeArgs& args) {
  HEARTH_CHECK(args.cols % 32 == 0, "rows are whole blocks of 32");
  const int64_t blocks = args.rows * (args.cols / 32);
  if (blocks == 0) return;
  const int64_t ctas = (blocks + QuantizeKernel::kBlocksPerCta - 1) / QuantizeKernel::kBlocksPerCta;
  simt::launch<QuantizeKernel>(context, {.x = static_cast<int>(ctas)}, 0, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
