// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/activation/residual.inc"
// clang-format on

namespace hearth::kernels {

void scale_neon(const ExecContext& context, const ScaleArgs& args) { neon::scale(context, args); }

void add_neon(const ExecContext& context, const AddArgs& args) { neon::add(context, args); }

}  // namespace hearth::kernels
