#pragma once
// Where a head's rows lie inside a layer's KV pages (kernels/tensor_view.h, KvLayerView).

#include <cstddef>
#include <cstdint>

#include "kernels/tensor_view.h"

namespace hearth::kernels {

/// Byte distances inside a page. K and V of one token and head are rows of head_dim elements.
struct KvStrides {
  size_t row_bytes = 0;   // from a token to the next, of one head
  size_t head_bytes = 0;  // from a KV head to the next
  size_t v_offset = 0;    // from K to V
};

/// The strides of `kv`; checks that its type is one of the three, that rows are whole blocks, and
/// that K and V fit the page.
KvStrides kv_strides(const KvLayerView& kv);

/// K (or, + v_offset, V) of the first token of `page` for `head`.
__attribute__((always_inline)) inline uint8_t* kv_head_rows(const KvLayerView& kv,
                                                            const KvStrides& strides, int32_t page,
                                                            int32_t head) {
  return static_cast<uint8_t*>(kv.base) + static_cast<size_t>(page) * kv.page_bytes +
         static_cast<size_t>(head) * strides.head_bytes;
}

}  // namespace hearth::kernels
