// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/activation/silu_mul.inc"
// clang-format on

namespace hearth::kernels {

void silu_mul_avx512(const ExecContext& context, const SiluMulArgs& args) {
  avx512::silu_mul(context, args);
}

}  // namespace hearth::kernels
