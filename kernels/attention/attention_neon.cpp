// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/attention/attention.inc"
// clang-format on

namespace hearth::kernels {

void attention_neon(const ExecContext& context, const AttentionArgs& args) {
  neon::attention(context, args);
}

}  // namespace hearth::kernels
