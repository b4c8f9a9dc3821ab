// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/norm/layer_norm.inc"
// clang-format on

namespace hearth::kernels {

void layer_norm_avx512(const ExecContext& context, const LayerNormArgs& args) {
  avx512::layer_norm(context, args);
}

}  // namespace hearth::kernels
