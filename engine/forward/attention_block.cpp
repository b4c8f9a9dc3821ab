// The attention block of a layer.
#include <array>
#include <cmath>

#include "engine/forward/attention_args.h"
#include "engine/forward/forward_segment.h"

namespace hearth {

/// x += attention_out(attention(x_in)); K and V of the rows go to their pages.
void ForwardSegment::attention_block(const Step& step, int32_t index, const Input& x,
                                     const kernels::KvLayerView& kv) {
  const ModelConfig& c = model_->config();
  const LayerWeights& weights = layer_weights(index);
  Workspace& w = workspace_;
  const std::array qkv = {matmul_job(weights.q, w.q), matmul_job(weights.k, w.k),
                          matmul_job(weights.v, w.v)};
  linear(step, x, step.rows, c.hidden_size, qkv);
  place_heads(step, index, kv);
  attend(step, index, kv);
  const Branch to = open_branch();
  const std::array out = {matmul_job(weights.attention_out, to.out, to.accumulate)};
  linear(step, {.f32 = w.attention}, step.rows, c.q_size(), out);
  close_branch(step, weights.post_attention_norm);
}

/// Norms and rotates Q and K as the description says, and stores K and V where that is not the
/// host's to do.
void ForwardSegment::place_heads(const Step& step, int32_t index, const kernels::KvLayerView& kv) {
  const ModelConfig& c = model_->config();
  const LayerConfig& layer = c.layers[static_cast<size_t>(index)];
  const LayerWeights& weights = layer_weights(index);
  Workspace& w = workspace_;
  const kernels::KvStoreArgs store = kv_store_args(c, *step.batch, kv, w);
  if (place_heads_at_once(step, index, store)) return;
  norm_heads(step, weights.q_norm, w.q, c.num_heads);
  norm_heads(step, weights.k_norm, w.k, c.num_kv_heads);
  if (layer.rope == kNoRope) {
    apply_temperature(step);
  } else {
    rotate(step, layer.rope, w.q, c.num_heads);
    rotate(step, layer.rope, w.k, c.num_kv_heads);
  }
  if (host_attention_ == nullptr) table_->kv_store(step.context, store);
}

/// The same as one op, where the table has it and it does what the description says; else false,
/// and nothing is done.
bool ForwardSegment::place_heads_at_once(const Step& step, int32_t index,
                                         const kernels::KvStoreArgs& store) {
  const ModelConfig& c = model_->config();
  const int32_t rope = c.layers[static_cast<size_t>(index)].rope;
  const LayerWeights& weights = layer_weights(index);
  const bool norm = c.qk_norm == QkNorm::kHead;
  if (table_->rope_kv_store == nullptr || host_attention_ != nullptr || rope == kNoRope)
    return false;
  if (norm ? c.norm.kind != NormKind::kRms : c.qk_norm != QkNorm::kNone) return false;
  table_->rope_kv_store(step.context, {.norm = norm,
                                       .norm_eps = c.norm.eps,
                                       .q_norm = weights.q_norm.weight,
                                       .k_norm = weights.k_norm.weight,
                                       .q = rope_args(step, rope, workspace_.q, c.num_heads),
                                       .k = rope_args(step, rope, workspace_.k, c.num_kv_heads),
                                       .store = store});
  return true;
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
  table_->rope(step.context, rope_args(step, index, x, heads));
  if (c.qk_norm == QkNorm::kRotated)
    norm(step, {}, {x, c.head_dim}, {x, c.head_dim}, step.rows * heads, c.head_dim);
}

kernels::RopeArgs ForwardSegment::rope_args(const Step& step, int32_t index, float* x,
                                            int32_t heads) const {
  const ModelConfig& c = model_->config();
  const RopeConfig& rope = c.ropes[static_cast<size_t>(index)];
  return {.x = x,
          .x_stride = static_cast<int64_t>(heads) * c.head_dim,
          .rows = step.rows,
          .num_heads = heads,
          .head_dim = c.head_dim,
          .rotary_dim = rope.rotary_dim,
          .style = rope.style,
          .table = workspace_.rope_tables[static_cast<size_t>(index)]};
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

/// Attends to what is in the pages, this step's rows included.
void ForwardSegment::attend(const Step& step, int32_t index, const kernels::KvLayerView& kv) {
  if (host_attention_ != nullptr) return host_attention_->run(*step.batch, index, kv, workspace_);
  table_->attention(step.context, attention_args(model_->config(), index, *step.batch, kv,
                                                 layer_weights(index).sinks, workspace_));
}

}  // namespace hearth
