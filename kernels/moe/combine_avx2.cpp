// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/moe/combine.inc"
// clang-format on

namespace hearth::kernels {

void combine_avx2(const ExecContext& context, const CombineArgs& args) {
  avx2::combine(context, args);
}

}  // namespace hearth::kernels
