// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/activation/activate.inc"
// clang-format on

namespace hearth::kernels {

void activate_avx512(const ExecContext& context, const ActivateArgs& args) {
  avx512::activate(context, args);
}

}  // namespace hearth::kernels
