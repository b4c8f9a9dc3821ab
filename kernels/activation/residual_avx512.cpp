// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/activation/residual.inc"
// clang-format on

namespace hearth::kernels {

void scale_avx512(const ExecContext& context, const ScaleArgs& args) {
  avx512::scale(context, args);
}

void add_avx512(const ExecContext& context, const AddArgs& args) { avx512::add(context, args); }

}  // namespace hearth::kernels
