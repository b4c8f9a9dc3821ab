#pragma once
// The arguments of a layer's attention, wherever it is computed.

#include "engine/forward/batch.h"
#include "engine/forward/workspace.h"
#include "engine/model/model_config.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// K and V of the batch's rows, in `w`, to their pages.
inline kernels::KvStoreArgs kv_store_args(const ModelConfig& c, const Batch& batch,
                                          const kernels::KvLayerView& kv, const Workspace& w) {
  return {.k = w.k,
          .v = w.v,
          .k_stride = c.kv_size(),
          .v_stride = c.kv_size(),
          .kv = kv,
          .sequences = batch.sequences.data(),
          .num_sequences = static_cast<int32_t>(batch.sequences.size())};
}

/// The rows' attention of a layer to what is in the pages; q and attention are in `w`, the sinks
/// where the op reads them.
inline kernels::AttentionArgs attention_args(const ModelConfig& c, int32_t layer,
                                             const Batch& batch, const kernels::KvLayerView& kv,
                                             const float* sinks, const Workspace& w) {
  const LayerConfig& config = c.layers[static_cast<size_t>(layer)];
  return {.q = w.q,
          .q_stride = c.q_size(),
          .kv = kv,
          .sequences = batch.sequences.data(),
          .num_sequences = static_cast<int32_t>(batch.sequences.size()),
          .num_heads = c.num_heads,
          .scale = c.attention_scale,
          .softcap = c.attention_softcap,
          .sinks = sinks,
          .window = config.window,
          .chunk = config.chunk,
          .out = w.attention,
          .out_stride = c.q_size()};
}

}  // namespace hearth
