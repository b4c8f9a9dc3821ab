// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/activation/silu_mul.inc"
// clang-format on

namespace hearth::kernels {

void silu_mul_avx2(const ExecContext& context, const SiluMulArgs& args) {
  avx2::silu_mul(context, args);
}

}  // namespace hearth::kernels
