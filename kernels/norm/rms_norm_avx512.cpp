// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/norm/rms_norm.inc"
// clang-format on

namespace hearth::kernels {

void rms_norm_avx512(const ExecContext& context, const RmsNormArgs& args) {
  avx512::rms_norm(context, args);
}

}  // namespace hearth::kernels
