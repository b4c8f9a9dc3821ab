// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/moe/combine.inc"
// clang-format on

namespace hearth::kernels {

void combine_neon(const ExecContext& context, const CombineArgs& args) {
  neon::combine(context, args);
}

}  // namespace hearth::kernels
