// What happens to Q, K and V between their matmuls and attention, in one launch: a warp for each
// row and head.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/attention/attention.h"
#include "kernels/cuda/ops.h"
#include "kernels/kv_store/cuda_kv_store.h"
#include "kernels/norm/cuda_norm.h"
#include "kernels/rope/cuda_rope.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// The heads of a row: those of Q, then of K, then of V.
struct RopeKvStoreKernel {
  struct Args {
    RopeKvStoreArgs ops;
    KvStrides strides;
    simt::StepTables step;
  };
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / simt::kWarp;

  static size_t shared_bytes(int head_dim) {
    return sizeof(float) * static_cast<size_t>(kWarps * head_dim);
  }

  static HEARTH_KERNEL void run(const Args& args) {
    const int num_heads = args.ops.q.num_heads;
    const KvLayerView& kv = args.ops.store.kv;
    const int heads = num_heads + 2 * kv.num_kv_heads;
    const int64_t warp = static_cast<int64_t>(simt::cta_index().x) * kWarps + simt::warp_index();
    const int64_t row = warp / heads;
    const int head = static_cast<int>(warp % heads);
    if (row >= args.step.rows) return;  // the whole warp
    float* values = reinterpret_cast<float*>(simt::shared_memory()) +
                    static_cast<int64_t>(simt::warp_index()) * kv.head_dim;
    if (head < num_heads) {
      float* q = args.ops.q.x + row * args.ops.q.x_stride + head * kv.head_dim;
      rotate(args.ops, args.ops.q, row, q, args.ops.q_norm, values);
      for (int i = simt::lane_index(); i < kv.head_dim; i += simt::kWarp) q[i] = values[i];
      return;
    }
    const bool is_v = head >= num_heads + kv.num_kv_heads;
    const int kv_head = (head - num_heads) % kv.num_kv_heads;
    const float* from = is_v ? args.ops.store.v + row * args.ops.store.v_stride
                             : args.ops.k.x + row * args.ops.k.x_stride;
    from += kv_head * kv.head_dim;
    if (!is_v) {
      rotate(args.ops, args.ops.k, row, from, args.ops.k_norm, values);
      from = values;
    }
    uint8_t* to = kv_row(kv, args.strides, args.step, row, kv_head, is_v);
    for (int piece = 0; piece * simt::kWarp < kv.head_dim; ++piece) {
      const int i = piece * simt::kWarp + simt::lane_index();
      store_kv_piece(kv, to, piece, i < kv.head_dim ? from[i] : 0.0F);
    }
  }

  /// The head at `from`, normed if asked for and rotated, in the warp's shared memory.
  static HEARTH_KERNEL void rotate(const RopeKvStoreArgs& ops, const RopeArgs& rope, int64_t row,
                                   const float* from, const float* weight, float* values) {
    float squares = 0.0F;
    for (int i = simt::lane_index(); i < rope.head_dim; i += simt::kWarp) {
      values[i] = from[i];
      squares = fmaf(from[i], from[i], squares);
    }
    if (ops.norm) {
      const float scale = rms_scale(simt::warp_sum(squares), rope.head_dim, ops.norm_eps);
      for (int i = simt::lane_index(); i < rope.head_dim; i += simt::kWarp)
        values[i] = values[i] * scale * (weight == nullptr ? 1.0F : weight[i]);
    }
    simt::sync_warp();
    for (int i = simt::lane_index(); i < rope.rotary_dim / 2; i += simt::kWarp)
      rotate_pair(rope, row, i, values);
    simt::sync_warp();
  }
};

/// Heads too long for a warp's norm are normed by the op for long rows.
void norm_heads(const ExecContext& context, const RopeKvStoreArgs& args, const RopeArgs& rope,
                const float* weight) {
  for (int head = 0; head < rope.num_heads; ++head) {
    float* x = rope.x + static_cast<int64_t>(head) * rope.head_dim;
    rms_norm(context, {.x = x,
                       .x_stride = rope.x_stride,
                       .weight = weight,
                       .eps = args.norm_eps,
                       .rows = rope.rows,
                       .cols = rope.head_dim,
                       .out = x,
                       .out_stride = rope.x_stride});
  }
}

}  // namespace

void rope_kv_store(const ExecContext& context, const RopeKvStoreArgs& args) {
  const simt::StepTables& step = simt::op_context(context).step;
  const KvLayerView& kv = args.store.kv;
  HEARTH_CHECK(
      args.store.sequences == step.sequences && args.store.num_sequences == step.num_sequences,
      "the sequences are those of the step that was uploaded");
  for (const RopeArgs* rope : {&args.q, &args.k})
    HEARTH_CHECK(rope->rows == step.rows && rope->head_dim == kv.head_dim &&
                     rope->rotary_dim % 2 == 0 && rope->rotary_dim <= rope->head_dim &&
                     rope->rotary_dim == args.q.rotary_dim,
                 "Q and K are the step's rows, and rotary pairs lie inside the head");
  HEARTH_CHECK(args.store.k == args.k.x && args.store.k_stride == args.k.x_stride &&
                   args.k.num_heads == kv.num_kv_heads && kv.head_dim <= kMaxHeadDim,
               "the K that is rotated is the K that is stored");
  if (step.rows == 0) return;
  RopeKvStoreArgs ops = args;
  if (args.norm && kv.head_dim > kWarpNormCols) {
    norm_heads(context, args, args.q, args.q_norm);
    norm_heads(context, args, args.k, args.k_norm);
    ops.norm = false;
  }
  const int64_t warps = int64_t{step.rows} * (args.q.num_heads + 2 * kv.num_kv_heads);
  const int64_t ctas = (warps + RopeKvStoreKernel::kWarps - 1) / RopeKvStoreKernel::kWarps;
  simt::launch<RopeKvStoreKernel>(context, {.x = static_cast<int>(ctas)},
                                  RopeKvStoreKernel::shared_bytes(kv.head_dim),
                                  {ops, kv_strides(kv), step});
}

}  // namespace hearth::kernels::HEARTH_SIMT
