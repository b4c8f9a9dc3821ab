// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/rope/rope.inc"
// clang-format on

namespace hearth::kernels {

void rope_neon(const ExecContext& context, const RopeArgs& args) { neon::rope(context, args); }

}  // namespace hearth::kernels
