#include "engine/forward/forward_pass.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace hearth {
namespace {

/// The job out (+)= W x + b over rows that lie next to each other.
kernels::MatmulArgs job(const LinearWeights& weights, float* out, bool accumulate = false) {
  return {.weight = weights.weight,
          .bias = weights.bias,
          .accumulate = accumulate,
          .out = out,
          .out_stride = weights.weight.rows};
}

}  // namespace

ForwardPass::Workspace ForwardPass::lay_out(Arena& arena, const ModelConfig& c,
                                            const ForwardLimits& limits) {
  const auto rows = static_cast<size_t>(limits.rows);
  const auto logit_rows = static_cast<size_t>(limits.logit_rows);
  const auto hidden = static_cast<size_t>(c.hidden_size);
  const auto q_size = static_cast<size_t>(c.q_size());
  const auto kv_size = static_cast<size_t>(c.kv_size());
  const auto ffn = static_cast<size_t>(c.ffn_size);
  const size_t widest = std::max({hidden, q_size, ffn});
  // Logit rows are quantized too, and a batch may ask for logits of all its rows.
  const size_t q8_values = std::max(rows, logit_rows) * widest;
  Workspace w;
  w.x = arena.take<float>(rows * hidden);
  w.normed = arena.take<float>(rows * hidden);
  w.q = arena.take<float>(rows * q_size);
  w.k = arena.take<float>(rows * kv_size);
  w.v = arena.take<float>(rows * kv_size);
  w.attention = arena.take<float>(rows * q_size);
  w.gate = arena.take<float>(rows * ffn);
  w.up = arena.take<float>(rows * ffn);
  w.rope_table = arena.take<float>(rows * static_cast<size_t>(c.rope.rotary_dim));
  w.q8.q = arena.take<int8_t>(q8_values);
  w.q8.scale = arena.take<float>(q8_values / 32 + 1);
  w.q8.sum16 = arena.take<int16_t>(q8_values / 16 + 1);
  w.logit_input = arena.take<float>(logit_rows * hidden);
  w.logits = arena.take<float>(logit_rows * static_cast<size_t>(c.vocab_size));
  return w;
}

uint64_t ForwardPass::workspace_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  Arena arena;
  lay_out(arena, config, limits);
  return arena.used();
}

Result<ForwardPass> ForwardPass::create(const Model& model, const kernels::KernelTable& table,
                                        const ForwardLimits& limits) {
  ForwardPass pass(model, table, limits);
  HEARTH_ASSIGN_OR_RETURN(pass.memory_, HostMemory::reserve(workspace_bytes(model.config(), limits),
                                                            "the activations"));
  Arena arena(pass.memory_);
  pass.workspace_ = lay_out(arena, model.config(), limits);
  return pass;
}

void ForwardPass::run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
                      const std::function<void()>& progress) {
  const ModelConfig& c = model_->config();
  const Step step{context, batch, static_cast<int64_t>(batch.tokens.size())};
  HEARTH_CHECK(step.rows > 0 && step.rows <= limits_.rows, "the batch fits the workspace");
  HEARTH_CHECK(batch.logit_rows.size() <= static_cast<size_t>(limits_.logit_rows),
               "the logit rows fit the workspace");

  table_->embed(context, {.table = model_->token_embedding(),
                          .tokens = batch.tokens.data(),
                          .rows = step.rows,
                          .out = workspace_.x});
  table_->rope_table(context, {.positions = batch.positions.data(),
                               .rows = step.rows,
                               .inverse_frequency = c.rope.inverse_frequency.data(),
                               .rotary_dim = c.rope.rotary_dim,
                               .magnitude = c.rope.magnitude,
                               .table = workspace_.rope_table});
  for (int32_t i = 0; i < c.num_layers; ++i) {
    const LayerWeights& layer = model_->layers()[static_cast<size_t>(i)];
    attention_block(step, layer, kv.layer(i));
    if (progress) progress();
    ffn_block(step, layer);
    if (progress) progress();
  }
  if (!batch.logit_rows.empty()) output_block(step);
}

std::span<float> ForwardPass::logits(size_t index) const {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  return {workspace_.logits + index * vocab, vocab};
}

/// x += attention_out(attention(norm(x)))
void ForwardPass::attention_block(const Step& step, const LayerWeights& layer,
                                  const kernels::KvLayerView& kv) {
  const ModelConfig& c = model_->config();
  Workspace& w = workspace_;
  norm(step, w.x, layer.attention_norm, w.normed, step.rows);
  const std::array qkv = {job(layer.q, w.q), job(layer.k, w.k), job(layer.v, w.v)};
  linear(step, w.normed, step.rows, c.hidden_size, qkv);
  if (c.qk_norm) {
    head_norm(step, w.q, layer.q_norm, c.num_heads);
    head_norm(step, w.k, layer.k_norm, c.num_kv_heads);
  }
  rotate(step, w.q, c.num_heads);
  rotate(step, w.k, c.num_kv_heads);

  const auto num_sequences = static_cast<int32_t>(step.batch.sequences.size());
  table_->kv_store(step.context, {.k = w.k,
                                  .v = w.v,
                                  .k_stride = c.kv_size(),
                                  .v_stride = c.kv_size(),
                                  .kv = kv,
                                  .sequences = step.batch.sequences.data(),
                                  .num_sequences = num_sequences});
  table_->attention(step.context, {.q = w.q,
                                   .q_stride = c.q_size(),
                                   .kv = kv,
                                   .sequences = step.batch.sequences.data(),
                                   .num_sequences = num_sequences,
                                   .num_heads = c.num_heads,
                                   .scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim)),
                                   .window = c.sliding_window,
                                   .out = w.attention,
                                   .out_stride = c.q_size()});
  const std::array out = {job(layer.attention_out, w.x, /*accumulate=*/true)};
  linear(step, w.attention, step.rows, c.q_size(), out);
}

/// x += down(silu(gate(norm(x))) * up(norm(x)))
void ForwardPass::ffn_block(const Step& step, const LayerWeights& layer) {
  const ModelConfig& c = model_->config();
  Workspace& w = workspace_;
  norm(step, w.x, layer.ffn_norm, w.normed, step.rows);
  const std::array gate_up = {job(layer.gate, w.gate), job(layer.up, w.up)};
  linear(step, w.normed, step.rows, c.hidden_size, gate_up);
  table_->activate(step.context, {.gate = w.gate,
                                  .up = w.up,
                                  .gate_stride = c.ffn_size,
                                  .up_stride = c.ffn_size,
                                  .rows = step.rows,
                                  .cols = c.ffn_size,
                                  .out = w.gate,
                                  .out_stride = c.ffn_size});
  const std::array down = {job(layer.down, w.x, /*accumulate=*/true)};
  linear(step, w.gate, step.rows, c.ffn_size, down);
}

/// Logits of the rows that were asked for.
void ForwardPass::output_block(const Step& step) {
  const ModelConfig& c = model_->config();
  Workspace& w = workspace_;
  const auto hidden = static_cast<size_t>(c.hidden_size);
  const auto rows = static_cast<int64_t>(step.batch.logit_rows.size());
  for (size_t i = 0; i < step.batch.logit_rows.size(); ++i) {
    const auto row = static_cast<size_t>(step.batch.logit_rows[i]);
    std::memcpy(w.logit_input + i * hidden, w.x + row * hidden, hidden * sizeof(float));
  }
  norm(step, w.logit_input, model_->output_norm(), w.logit_input, rows);
  const std::array out = {job(model_->output(), w.logits)};
  linear(step, w.logit_input, rows, c.hidden_size, out);
}

void ForwardPass::norm(const Step& step, const float* x, const float* weight, float* out,
                       int64_t rows) {
  const int64_t hidden = model_->config().hidden_size;
  table_->rms_norm(step.context, {.x = x,
                                  .x_stride = hidden,
                                  .weight = weight,
                                  .eps = model_->config().rms_norm_eps,
                                  .rows = rows,
                                  .cols = hidden,
                                  .out = out,
                                  .out_stride = hidden});
}

/// RMSNorm of each head by itself, in place: heads lie next to each other, so they are rows.
void ForwardPass::head_norm(const Step& step, float* x, const float* weight, int32_t heads) {
  const int64_t head_dim = model_->config().head_dim;
  table_->rms_norm(step.context, {.x = x,
                                  .x_stride = head_dim,
                                  .weight = weight,
                                  .eps = model_->config().rms_norm_eps,
                                  .rows = step.rows * heads,
                                  .cols = head_dim,
                                  .out = x,
                                  .out_stride = head_dim});
}

void ForwardPass::rotate(const Step& step, float* x, int32_t heads) {
  const ModelConfig& c = model_->config();
  table_->rope(step.context, {.x = x,
                              .x_stride = static_cast<int64_t>(heads) * c.head_dim,
                              .rows = step.rows,
                              .num_heads = heads,
                              .head_dim = c.head_dim,
                              .rotary_dim = c.rope.rotary_dim,
                              .style = c.rope.style,
                              .table = workspace_.rope_table});
}

/// Runs matmuls that share the input x [rows, cols], quantized once if any of them reads int8.
void ForwardPass::linear(const Step& step, const float* x, int64_t rows, int64_t cols,
                         std::span<const kernels::MatmulArgs> jobs) {
  const bool wants_q8 = std::ranges::any_of(jobs, [this](const kernels::MatmulArgs& args) {
    return table_->matmul_input(args.weight.dtype) == kernels::MatmulInput::kQ8;
  });
  if (wants_q8)
    table_->quantize(step.context, {.x = x, .rows = rows, .cols = cols, .out = workspace_.q8});
  const kernels::ActivationView view{.f32 = x, .q8 = workspace_.q8, .rows = rows, .cols = cols};
  table_->matmul(step.context, view, jobs.data(), static_cast<int>(jobs.size()));
}

}  // namespace hearth
