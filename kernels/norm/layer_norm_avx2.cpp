// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/norm/layer_norm.inc"
// clang-format on

namespace hearth::kernels {

void layer_norm_avx2(const ExecContext& context, const LayerNormArgs& args) {
  avx2::layer_norm(context, args);
}

}  // namespace hearth::kernels
