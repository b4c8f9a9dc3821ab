#include "kernels/dtype.h"

#include <array>
#include <cstdlib>

namespace hearth {
namespace {

constexpr std::array kTypes = {
    DTypeInfo{DType::kF32, "f32", 1, 4},
    DTypeInfo{DType::kF16, "f16", 1, 2},
    DTypeInfo{DType::kQ4_0, "q4_0", 32, 18},
    DTypeInfo{DType::kQ4_1, "q4_1", 32, 20},
    DTypeInfo{DType::kQ5_0, "q5_0", 32, 22},
    DTypeInfo{DType::kQ5_1, "q5_1", 32, 24},
    DTypeInfo{DType::kQ8_0, "q8_0", 32, 34},
    DTypeInfo{DType::kQ2_K, "q2_k", 256, 84},
    DTypeInfo{DType::kQ3_K, "q3_k", 256, 110},
    DTypeInfo{DType::kQ4_K, "q4_k", 256, 144},
    DTypeInfo{DType::kQ5_K, "q5_k", 256, 176},
    DTypeInfo{DType::kQ6_K, "q6_k", 256, 210},
    DTypeInfo{DType::kIQ2_XXS, "iq2_xxs", 256, 66},
    DTypeInfo{DType::kIQ2_XS, "iq2_xs", 256, 74},
    DTypeInfo{DType::kIQ3_XXS, "iq3_xxs", 256, 98},
    DTypeInfo{DType::kIQ1_S, "iq1_s", 256, 50},
    DTypeInfo{DType::kIQ4_NL, "iq4_nl", 32, 18},
    DTypeInfo{DType::kIQ3_S, "iq3_s", 256, 110},
    DTypeInfo{DType::kIQ2_S, "iq2_s", 256, 82},
    DTypeInfo{DType::kIQ4_XS, "iq4_xs", 256, 136},
    DTypeInfo{DType::kIQ1_M, "iq1_m", 256, 56},
    DTypeInfo{DType::kBF16, "bf16", 1, 2},
    DTypeInfo{DType::kTQ1_0, "tq1_0", 256, 54},
    DTypeInfo{DType::kTQ2_0, "tq2_0", 256, 66},
    DTypeInfo{DType::kMXFP4, "mxfp4", 32, 17},
    DTypeInfo{DType::kQ4_0F32Pairs, "q4_0 of ggjt 1", 32, 20},
    DTypeInfo{DType::kQ4_1F32Pairs, "q4_1 of ggjt 1", 32, 24},
    DTypeInfo{DType::kQ4_0F32, "q4_0 of ggjt 2", 32, 20},
    DTypeInfo{DType::kQ4_1F32, "q4_1 of ggjt 2", 32, 24},
    DTypeInfo{DType::kQ8_0F32, "q8_0 of ggjt 2", 32, 36},
};

}  // namespace

const DTypeInfo* find_dtype(uint32_t type_id) {
  for (const DTypeInfo& info : kTypes)
    if (static_cast<uint32_t>(info.dtype) == type_id) return &info;
  return nullptr;
}

const DTypeInfo* find_dtype(std::string_view name) {
  for (const DTypeInfo& info : kTypes)
    if (info.name == name) return &info;
  return nullptr;
}

const DTypeInfo& dtype_info(DType dtype) {
  const DTypeInfo* info = find_dtype(static_cast<uint32_t>(dtype));
  if (info == nullptr) std::abort();  // a DType is only ever made from a row of the table
  return *info;
}

}  // namespace hearth
