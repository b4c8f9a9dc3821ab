// The attention block of a layer.
#include <array>
#include <cmath>

#include "engine/forward/forward_segment.h"

namespace hearth {

/// x += attention_out(attention(x_in)); K and V of the rows go to their pages.
void ForwardSegment::attention_block(const Step& step, int32_t index, const float* x,
                                     const kernels::KvLayerView& kv) {
  const ModelConfig& c = model_->config();
  const LayerConfig& layer = c.layers[static_cast<size_t>(index)];
  const LayerWeights& weights = layer_weights(index);
  Workspace& w = workspace_;
  const std::array qkv = {matmul_job(weights.q, w.q), matmul_job(weights.k, w.k),
                          matmul_job(weights.v, w.v)};
  linear(step, x, step.rows, c.hidden_size, qkv);
  norm_heads(step, weights.q_norm, w.q, c.num_heads);
  norm_heads(step, weights.k_norm, w.k, c.num_kv_heads);
  if (layer.rope == kNoRope) {
    apply_temperature(step);
  } else {
    rotate(step, layer.rope, w.q, c.num_heads);
    rotate(step, layer.rope, w.k, c.num_kv_heads);
  }
  attend(step, index, kv);
  const Branch to = open_branch();
  const std::array out = {matmul_job(weights.attention_out, to.out, to.accumulate)};
  linear(step, w.attention, step.rows, c.q_size(), out);
  close_branch(step, weights.post_attention_norm);
}

/// The norm of Q or K in place. Heads lie next to each other: with the same weights for all, they
/// are rows.
void ForwardSegment::norm_heads(const Step& step, const NormWeights& weights, float* x,
                                int32_t heads) {
  const int64_t head_dim = model_->config().head_dim;
  const int64_t cols = heads * head_dim;
  switch (model_->config().qk_norm) {
    case QkNorm::kNone:
    case QkNorm::kRotated:
      return;
    case QkNorm::kHead:
      return norm(step, weights, {x, head_dim}, {x, head_dim}, step.rows * heads, head_dim);
    case QkNorm::kEachHead:
      for (int64_t at = 0; at < cols; at += head_dim)
        norm(step,
             {.weight = weights.weight + at,
              .bias = weights.bias == nullptr ? nullptr : weights.bias + at},
             {x + at, cols}, {x + at, cols}, step.rows, head_dim);
      return;
    case QkNorm::kAll:
      return norm(step, weights, {x, cols}, {x, cols}, step.rows, cols);
  }
}

/// Rotates Q or K in place, and norms the heads then where the description says so.
void ForwardSegment::rotate(const Step& step, int32_t index, float* x, int32_t heads) {
  const ModelConfig& c = model_->config();
  const RopeConfig& rope = c.ropes[static_cast<size_t>(index)];
  table_->rope(step.context, {.x = x,
                              .x_stride = static_cast<int64_t>(heads) * c.head_dim,
                              .rows = step.rows,
                              .num_heads = heads,
                              .head_dim = c.head_dim,
                              .rotary_dim = rope.rotary_dim,
                              .style = rope.style,
                              .table = workspace_.rope_tables[static_cast<size_t>(index)]});
  if (c.qk_norm == QkNorm::kRotated)
    norm(step, {}, {x, c.head_dim}, {x, c.head_dim}, step.rows * heads, c.head_dim);
}

/// Scales the Q of rows so far into a context that they have a temperature.
void ForwardSegment::apply_temperature(const Step& step) {
  const ModelConfig& c = model_->config();
  if (c.temperature.length == 0) return;
  for (int64_t row = 0; row < step.rows; ++row) {
    const int32_t position = step.batch->positions[static_cast<size_t>(row)];
    const int32_t lengths = (position + 1) / c.temperature.length;
    if (lengths == 0) continue;
    table_->scale(step.context,
                  {.x = workspace_.q + row * c.q_size(),
                   .count = c.q_size(),
                   .scale = 1.0F + c.temperature.scale * std::log1p(static_cast<float>(lengths))});
  }
}

/// Stores K and V, then attends to them and to what is in the pages already.
void ForwardSegment::attend(const Step& step, int32_t index, const kernels::KvLayerView& kv) {
  const ModelConfig& c = model_->config();
  const Workspace& w = workspace_;
  const auto num_sequences = static_cast<int32_t>(step.batch->sequences.size());
  table_->kv_store(step.context, {.k = w.k,
                                  .v = w.v,
                                  .k_stride = c.kv_size(),
                                  .v_stride = c.kv_size(),
                                  .kv = kv,
                                  .sequences = step.batch->sequences.data(),
                                  .num_sequences = num_sequences});
  table_->attention(step.context, {.q = w.q,
                                   .q_stride = c.q_size(),
                                   .kv = kv,
                                   .sequences = step.batch->sequences.data(),
                                   .num_sequences = num_sequences,
                                   .num_heads = c.num_heads,
                                   .scale = c.attention_scale,
                                   .softcap = c.attention_softcap,
                                   .sinks = layer_weights(index).sinks,
                                   .window = c.layers[static_cast<size_t>(index)].window,
                                   .chunk = c.layers[static_cast<size_t>(index)].chunk,
                                   .out = w.attention,
                                   .out_stride = c.q_size()});
}

}  // namespace hearth
