// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_avx2.h"
#include "kernels/kv_store/kv_store.inc"
// clang-format on

namespace hearth::kernels {

void kv_store_avx2(const ExecContext& context, const KvStoreArgs& args) {
  kv_store_with(context, args, avx2::convert_row);
}

}  // namespace hearth::kernels
