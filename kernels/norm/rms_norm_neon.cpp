// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/norm/rms_norm.inc"
// clang-format on

namespace hearth::kernels {

void rms_norm_neon(const ExecContext& context, const RmsNormArgs& args) {
  neon::rms_norm(context, args);
}

}  // namespace hearth::kernels
