// Weights in blocks of 256 values.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/matmul/cuda_matmul.h"
#include "kernels/matmul/half_launch.h"
#include "kernels/matmul/tensor_quantized.h"
#include "kernels/matmul/tensor_scaled.h"

namespace hearth::kernels::HEARTH_SIMT {

void launch_quantized_256(const ExecContext& context, DType type, const TensorMatmulArgs& args) {
  const auto run = [&]<typename Format>() { launch_half_matmul<Format, false>(context, args, 0); };
  switch (type) {
    case DType::kQ2_K:
      return run.template operator()<QuantizedFormat<quant::BlockQ2_K>>();
    case DType::kQ3_K:
      return run.template operator()<QuantizedFormat<quant::BlockQ3_K>>();
    case DType::kQ4_K:
      return run.template operator()<ScaledFormat<quant::BlockQ4_K>>();
    case DType::kQ5_K:
      return run.template operator()<ScaledFormat<quant::BlockQ5_K>>();
    case DType::kQ6_K:
      return run.template operator()<QuantizedFormat<quant::BlockQ6_K>>();
    case DType::kIQ4_XS:
      return run.template operator()<QuantizedFormat<quant::BlockIQ4_XS>>();
    default:
      HEARTH_CHECK(false, "a type of this file");
  }
}

}  // namespace hearth::kernels::HEARTH_SIMT
