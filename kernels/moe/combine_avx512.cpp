// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/moe/combine.inc"
// clang-format on

namespace hearth::kernels {

void combine_avx512(const ExecContext& context, const CombineArgs& args) {
  avx512::combine(context, args);
}

}  // namespace hearth::kernels
