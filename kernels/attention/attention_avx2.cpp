// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/attention/attention.inc"
// clang-format on

namespace hearth::kernels {

void attention_avx2(const ExecContext& context, const AttentionArgs& args) {
  avx2::attention(context, args);
}

}  // namespace hearth::kernels
