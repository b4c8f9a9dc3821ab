// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/norm/layer_norm.inc"
// clang-format on

namespace hearth::kernels {

void layer_norm_neon(const ExecContext& context, const LayerNormArgs& args) {
  neon::layer_norm(context, args);
}

}  // namespace hearth::kernels
