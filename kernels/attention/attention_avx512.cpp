// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/attention/attention.inc"
// clang-format on

namespace hearth::kernels {

void attention_avx512(const ExecContext& context, const AttentionArgs& args) {
  avx512::attention(context, args);
}

}  // namespace hearth::kernels
