#pragma once
// A warp's values of K or V into their page. Included by .cu files after simt.h.

#include "kernels/cuda/simt.h"
#include "kernels/kv_store/kv_layout.h"
#include "kernels/quant/blocks.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Where row `row` of the batch has K (or V) of KV head `head`.
HEARTH_KERNEL uint8_t* kv_row(const KvLayerView& kv, const KvStrides& strides,
                              const simt::StepTables& step, int64_t row, int head, bool is_v) {
  const simt::RowPlace place = step.row[row];
  const int page = step.pages[place.first_page + place.position / kv.page_tokens];
  return static_cast<uint8_t*>(kv.base) + static_cast<size_t>(page) * kv.page_bytes +
         static_cast<size_t>(head) * strides.head_bytes +
         static_cast<size_t>(place.position % kv.page_tokens) * strides.row_bytes +
         (is_v ? strides.v_offset : 0);
}

/// The block that quant::quantize_row makes of a warp's values.
HEARTH_KERNEL void store_q8_block(float x, quant::BlockQ8_0* block) {
  const uint16_t d = f32_to_f16(simt::warp_max(fabsf(x)) / 127.0F);
  const float stored = f16_to_f32(d);
  const float inverse = stored == 0.0F ? 0.0F : 1.0F / stored;
  const float code = fminf(fmaxf(rintf(x * inverse), -127.0F), 127.0F);
  block->qs[simt::lane_index()] = static_cast<int8_t>(code);
  if (simt::lane_index() == 0) block->d = d;
}

/// Stores values 32 piece … + 31 of a head's row: a lane brings one, 0 where it lies beyond.
HEARTH_KERNEL void store_kv_piece(const KvLayerView& kv, uint8_t* to, int piece, float x) {
  const int i = piece * simt::kWarp + simt::lane_index();
  if (kv.dtype == DType::kQ8_0) {
    store_q8_block(x, reinterpret_cast<quant::BlockQ8_0*>(to) + piece);
  } else if (i >= kv.head_dim) {
    return;
  } else if (kv.dtype == DType::kF16) {
    reinterpret_cast<uint16_t*>(to)[i] = f32_to_f16(x);
  } else {
    reinterpret_cast<float*>(to)[i] = x;
  }
}

}  // namespace hearth::kernels::HEARTH_SIMT
