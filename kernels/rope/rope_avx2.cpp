// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/rope/rope.inc"
// clang-format on

namespace hearth::kernels {

void rope_avx2(const ExecContext& context, const RopeArgs& args) { avx2::rope(context, args); }

}  // namespace hearth::kernels
