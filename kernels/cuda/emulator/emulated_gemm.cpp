#include "kernels/cuda/emulator/emulated_gemm.h"

#include "kernels/cuda/emulator/emulator.h"
#include "kernels/quant/half.h"

namespace hearth::kernels {
namespace {

using simt::GemmArgs;
using simt::GemmType;

/// Value i of a matrix of this type.
float value_of(GemmType type, const void* matrix, int64_t i) {
  if (type == GemmType::kF16) return f16_to_f32(static_cast<const uint16_t*>(matrix)[i]);
  if (type == GemmType::kBF16) return bf16_to_f32(static_cast<const uint16_t*>(matrix)[i]);
  constexpr uint32_t kCounts = 0xFFFFE000U;  // sign, exponent and 10 bits behind the leading one
  return float_from_bits(float_to_bits(static_cast<const float*>(matrix)[i]) & kCounts);
}

float dot(const GemmArgs& args, int64_t row, int64_t output) {
  float sum = 0.0F;
  for (int64_t i = args.cols - 1; i >= 0; --i)
    sum += value_of(args.type, args.weight, output * args.weight_stride + i) *
           value_of(args.type, args.x, row * args.cols + i);
  return sum;
}

void compute(const GemmArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row)
    for (int64_t output = 0; output < args.outputs; ++output) {
      float& out = args.out[row * args.out_stride + output];
      const float sum = dot(args, row, output);
      out = args.accumulate ? out + sum : sum;
    }
}

}  // namespace

void EmulatedGemm::multiply(const simt::OpContext& /*op*/, const GemmArgs& args) {
  check_gemm(args);
  if (simt::emulator::Record* record = simt::emulator::recording()) {
    record->emplace_back([args] { compute(args); });
  } else {
    compute(args);
  }
}

}  // namespace hearth::kernels
