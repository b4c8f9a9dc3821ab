// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/norm/rms_norm.inc"
// clang-format on

namespace hearth::kernels {

void rms_norm_avx2(const ExecContext& context, const RmsNormArgs& args) {
  avx2::rms_norm(context, args);
}

}  // namespace hearth::kernels
