// The types of weights that few files have, and the way to all of them.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/matmul/cuda_matmul.h"
#include "kernels/matmul/gemm_matmul.h"
#include "kernels/matmul/half_launch.h"
#include "kernels/matmul/tensor_quantized.h"
#include "kernels/quant/visit.h"

namespace hearth::kernels::HEARTH_SIMT {

void launch_quantized(const ExecContext& context, DType type, TensorMatmulArgs args,
                      const ActivationView& x) {
  args.x = x.half.value;
  args.sums32 = x.half.sum32;
  args.sums16 = x.half.sum16;
  args.part_scale = x.half.scale;
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
    case DType::kIQ4_NL:
    case DType::kMXFP4:
      return launch_quantized_32(context, type, args);
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
    case DType::kIQ4_XS:
      return launch_quantized_256(context, type, args);
    default:
      return launch_quantized_rare(context, type, args);
  }
}

namespace {

template <typename Block>
inline constexpr bool kHasOwnFile =
    Block::kType == DType::kQ4_0 || Block::kType == DType::kQ4_1 || Block::kType == DType::kQ5_0 ||
    Block::kType == DType::kQ5_1 || Block::kType == DType::kQ8_0 ||
    Block::kType == DType::kIQ4_NL || Block::kType == DType::kMXFP4 ||
    Block::kType == DType::kQ2_K || Block::kType == DType::kQ3_K || Block::kType == DType::kQ4_K ||
    Block::kType == DType::kQ5_K || Block::kType == DType::kQ6_K || Block::kType == DType::kIQ4_XS;

}  // namespace

void launch_quantized_rare(const ExecContext& context, DType type, const TensorMatmulArgs& args) {
  quant::visit_block_type(type, [&]<typename Block>() {
    if constexpr (kHasOwnFile<Block>) {
      HEARTH_CHECK(false, "types in wide use have kernels of their own");
    } else if (!launch_gemm_dequantized(context, args, dequantize<Block>)) {
      launch_half_matmul<QuantizedFormat<Block>, true>(context, args, 0);
    }
  });
}

}  // namespace hearth::kernels::HEARTH_SIMT
