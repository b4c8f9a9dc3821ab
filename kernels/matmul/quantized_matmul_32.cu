// Weights in blocks of 32 values.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/matmul/cuda_matmul.h"
#include "kernels/matmul/half_launch.h"
#include "kernels/matmul/tensor_quantized.h"

namespace hearth::kernels::HEARTH_SIMT {

void launch_quantized_32(const ExecContext& context, DType type, const TensorMatmulArgs& args) {
  const auto run = [&]<typename Block>() {
    launch_half_matmul<QuantizedFormat<Block>, false>(context, args, 0);
  };
  switch (type) {
    case DType::kQ4_0:
      return run.template operator()<quant::BlockQ4_0>();
    case DType::kQ4_1:
      return run.template operator()<quant::BlockQ4_1>();
    case DType::kQ5_0:
      return run.template operator()<quant::BlockQ5_0>();
    case DType::kQ5_1:
      return run.template operator()<quant::BlockQ5_1>();
    case DType::kQ8_0:
      return run.template operator()<quant::BlockQ8_0>();
    case DType::kIQ4_NL:
      return run.template operator()<quant::BlockIQ4_NL>();
    case DType::kMXFP4:
      return run.template operator()<quant::BlockMXFP4>();
    default:
      HEARTH_CHECK(false, "a type of this file");
  }
}

}  // namespace hearth::kernels::HEARTH_SIMT
