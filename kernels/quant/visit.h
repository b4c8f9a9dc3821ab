#pragma once

#include "base/check.h"
#include "kernels/quant/blocks.h"
#include "kernels/quant/legacy_blocks.h"
#include "kernels/quant/unpack_codebook.h"

namespace hearth::quant {

/// Calls visitor.template operator()<Block>() with the block struct of a quantized type, and
/// returns what it returns: the one list of quantized types for dequantization and the matmuls.
template <typename Visitor>
auto visit_block_type(DType dtype, Visitor&& visitor) {
  switch (dtype) {
    case DType::kQ4_0:
      return visitor.template operator()<BlockQ4_0>();
    case DType::kQ4_1:
      return visitor.template operator()<BlockQ4_1>();
    case DType::kQ5_0:
      return visitor.template operator()<BlockQ5_0>();
    case DType::kQ5_1:
      return visitor.template operator()<BlockQ5_1>();
    case DType::kQ8_0:
      return visitor.template operator()<BlockQ8_0>();
    case DType::kQ2_K:
      return visitor.template operator()<BlockQ2_K>();
    case DType::kQ3_K:
      return visitor.template operator()<BlockQ3_K>();
    case DType::kQ4_K:
      return visitor.template operator()<BlockQ4_K>();
    case DType::kQ5_K:
      return visitor.template operator()<BlockQ5_K>();
    case DType::kQ6_K:
      return visitor.template operator()<BlockQ6_K>();
    case DType::kIQ4_NL:
      return visitor.template operator()<BlockIQ4_NL>();
    case DType::kIQ4_XS:
      return visitor.template operator()<BlockIQ4_XS>();
    case DType::kMXFP4:
      return visitor.template operator()<BlockMXFP4>();
    case DType::kTQ1_0:
      return visitor.template operator()<BlockTQ1_0>();
    case DType::kTQ2_0:
      return visitor.template operator()<BlockTQ2_0>();
    case DType::kIQ2_XXS:
      return visitor.template operator()<BlockIQ2_XXS>();
    case DType::kIQ2_XS:
      return visitor.template operator()<BlockIQ2_XS>();
    case DType::kIQ2_S:
      return visitor.template operator()<BlockIQ2_S>();
    case DType::kIQ3_XXS:
      return visitor.template operator()<BlockIQ3_XXS>();
    case DType::kIQ3_S:
      return visitor.template operator()<BlockIQ3_S>();
    case DType::kIQ1_S:
      return visitor.template operator()<BlockIQ1_S>();
    case DType::kIQ1_M:
      return visitor.template operator()<BlockIQ1_M>();
    case DType::kQ4_0F32Pairs:
      return visitor.template operator()<BlockQ4_0F32Pairs>();
    case DType::kQ4_1F32Pairs:
      return visitor.template operator()<BlockQ4_1F32Pairs>();
    case DType::kQ4_0F32:
      return visitor.template operator()<BlockQ4_0F32>();
    case DType::kQ4_1F32:
      return visitor.template operator()<BlockQ4_1F32>();
    case DType::kQ8_0F32:
      return visitor.template operator()<BlockQ8_0F32>();
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      break;
  }
  check_failed(__FILE__, __LINE__, "dtype", "not a quantized type");
}

}  // namespace hearth::quant
