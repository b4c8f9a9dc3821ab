// K and V into their pages on the device: a warp for each 32 values of a head.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/kv_store/kv_layout.h"
#include "kernels/quant/blocks.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

struct KvStoreKernel {
  struct Args {
    KvStoreArgs store;
    KvStrides strides;
    simt::StepTables step;
    int32_t pieces;  // of 32 values in a head, the last one shorter
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const KvLayerView& kv = args.store.kv;
    const int64_t warp = static_cast<int64_t>(simt::cta_index().x) * kWarps + simt::warp_index();
    const int piece = static_cast<int>(warp % args.pieces);
    const int head = static_cast<int>(warp / args.pieces % kv.num_kv_heads);
    const int64_t row = warp / args.pieces / kv.num_kv_heads;
    if (row >= args.step.rows) return;  // the whole warp
    const simt::RowPlace place = args.step.row[row];
    const int page = args.step.pages[place.first_page + place.position / kv.page_tokens];
    const bool is_v = simt::cta_index().y == 1;
    const float* source =
        is_v ? args.store.v + row * args.store.v_stride : args.store.k + row * args.store.k_stride;
    uint8_t* to = static_cast<uint8_t*>(kv.base) + static_cast<size_t>(page) * kv.page_bytes +
                  static_cast<size_t>(head) * args.strides.head_bytes +
                  static_cast<size_t>(place.position % kv.page_tokens) * args.strides.row_bytes +
                  (is_v ? args.strides.v_offset : 0);
    const int i = piece * 32 + simt::lane_index();
    const bool inside = i < kv.head_dim;
    const float x = inside ? source[static_cast<int64_t>(head) * kv.head_dim + i] : 0.0F;
    if (kv.dtype == DType::kQ8_0) {
      store_q8(x, reinterpret_cast<quant::BlockQ8_0*>(to) + piece);
    } else if (!inside) {
      return;
    } else if (kv.dtype == DType::kF16) {
      reinterpret_cast<uint16_t*>(to)[i] = f32_to_f16(x);
    } else {
      reinterpret_cast<float*>(to)[i] = x;
    }
  }

  /// The block that quant::quantize_row makes of a warp's values.
  static HEARTH_KERNEL void store_q8(float x, quant::BlockQ8_0* block) {
    const uint16_t d = f32_to_f16(simt::warp_max(fabsf(x)) / 127.0F);
    const float stored = f16_to_f32(d);
    const float inverse = stored == 0.0F ? 0.0F : 1.0F / stored;
    const float code = fminf(fmaxf(rintf(x * inverse), -127.0F), 127.0F);
    block->qs[simt::lane_index()] = static_cast<int8_t>(code);
    if (simt::lane_index() == 0) block->d = d;
  }
};

}  // namespace

void kv_store(const ExecContext& context, const KvStoreArgs& args) {
  const simt::StepTables& step = simt::op_context(context).step;
  HEARTH_CHECK(args.sequences == step.sequences && args.num_sequences == step.num_sequences,
               "the sequences are those of the step that was uploaded");
  const int32_t pieces = (args.kv.head_dim + 31) / 32;
  const int64_t warps = int64_t{step.rows} * args.kv.num_kv_heads * pieces;
  if (warps == 0) return;
  const int64_t ctas = (warps + KvStoreKernel::kWarps - 1) / KvStoreKernel::kWarps;
  simt::launch<KvStoreKernel>(context, {.x = static_cast<int>(ctas), .y = 2}, 0,
                              {args, kv_strides(args.kv), step, pieces});
}

}  // namespace hearth::kernels::HEARTH_SIMT
