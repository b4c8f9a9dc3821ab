// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/activation/activate.inc"
// clang-format on

namespace hearth::kernels {

void activate_neon(const ExecContext& context, const ActivateArgs& args) {
  neon::activate(context, args);
}

}  // namespace hearth::kernels
