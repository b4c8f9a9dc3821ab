#include "kernels/kv_store/kv_layout.h"

#include "base/check.h"

namespace hearth::kernels {

KvStrides kv_strides(const KvLayerView& kv) {
  HEARTH_CHECK(kv.dtype == DType::kF16 || kv.dtype == DType::kF32 || kv.dtype == DType::kQ8_0,
               "a KV cache is f16, f32 or q8_0");
  HEARTH_CHECK(kv.page_tokens > 0 && kv.num_kv_heads > 0 && kv.head_dim > 0, "a page has a shape");
  HEARTH_CHECK(static_cast<uint32_t>(kv.head_dim) % dtype_info(kv.dtype).block_size == 0,
               "a head is whole blocks of the KV cache's type");
  KvStrides strides;
  strides.row_bytes = row_bytes(kv.dtype, kv.head_dim);
  strides.head_bytes = strides.row_bytes * static_cast<size_t>(kv.page_tokens);
  strides.v_offset = strides.head_bytes * static_cast<size_t>(kv.num_kv_heads);
  HEARTH_CHECK(2 * strides.v_offset <= kv.page_bytes, "K and V fit the page");
  return strides;
}

}  // namespace hearth::kernels
