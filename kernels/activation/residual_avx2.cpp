// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/activation/residual.inc"
// clang-format on

namespace hearth::kernels {

void scale_avx2(const ExecContext& context, const ScaleArgs& args) { avx2::scale(context, args); }

void add_avx2(const ExecContext& context, const AddArgs& args) { avx2::add(context, args); }

}  // namespace hearth::kernels
