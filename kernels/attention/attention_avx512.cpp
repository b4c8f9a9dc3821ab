// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx512.h"
#include "kernels/attention/attention.inc"
#include "kernels/attention/fixed_attention_avx512.h"
// clang-format on

namespace hearth::kernels {

void attention_avx512(const ExecContext& context, const AttentionArgs& args) {
  if (args.kv.head_dim > avx512::kTileHeadDim) return attention_ref(context, args);
  const auto attend = args.kv.dtype == DType::kF16   ? avx512::fixed_attention<avx512::FixF16>
                      : args.kv.dtype == DType::kF32 ? avx512::attention_over<avx512::F32Row>
                                                     : avx512::fixed_attention<avx512::FixQ8>;
  attend(context, args);
}

}  // namespace hearth::kernels
