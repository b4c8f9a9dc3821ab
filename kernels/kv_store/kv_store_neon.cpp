// The .inc is written over the vector type, which comes first.
// clang-format off
#include "kernels/cpu/vec_neon.h"
#include "kernels/kv_store/kv_store.inc"
// clang-format on

namespace hearth::kernels {

void kv_store_neon(const ExecContext& context, const KvStoreArgs& args) {
  kv_store_with(context, args, neon::convert_row);
}

}  // namespace hearth::kernels
