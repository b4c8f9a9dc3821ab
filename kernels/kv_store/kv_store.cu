// K and V into their pages on the device: a warp for each 32 values of a head.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/kv_store/cuda_kv_store.h"

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
    const bool is_v = simt::cta_index().y == 1;
    const float* source =
        is_v ? args.store.v + row * args.store.v_stride : args.store.k + row * args.store.k_stride;
    const int i = piece * simt::kWarp + simt::lane_index();
    const float x = i < kv.head_dim ? source[static_cast<int64_t>(head) * kv.head_dim + i] : 0.0F;
    store_kv_piece(kv, kv_row(kv, args.strides, args.step, row, head, is_v), piece, x);
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
