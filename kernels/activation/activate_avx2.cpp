// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/activation/activate.inc"
// clang-format on

namespace hearth::kernels {

void activate_avx2(const ExecContext& context, const ActivateArgs& args) {
  avx2::activate(context, args);
}

}  // namespace hearth::kernels
