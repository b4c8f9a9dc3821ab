#include "engine/forward/forward_pass.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace hearth {

kernels::MatmulArgs matmul_job(const LinearWeights& weights, float* out, bool accumulate) {
  return {.weight = weights.weight,
          .bias = weights.bias,
          .accumulate = accumulate,
          .out = out,
          .out_stride = weights.weight.rows};
}

uint64_t ForwardPass::workspace_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  Arena arena;
  lay_out_workspace(arena, config, limits);
  return arena.used();
}

Result<ForwardPass> ForwardPass::create(const Model& model, const kernels::KernelTable& table,
                                        const ForwardLimits& limits) {
  ForwardPass pass(model, table, limits);
  HEARTH_ASSIGN_OR_RETURN(pass.memory_, HostMemory::reserve(workspace_bytes(model.config(), limits),
                                                            "the activations"));
  Arena arena(pass.memory_);
  pass.workspace_ = lay_out_workspace(arena, model.config(), limits);
  return pass;
}

void ForwardPass::run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
                      const std::function<void()>& progress) {
  const Step step{context, batch, static_cast<int64_t>(batch.tokens.size())};
  HEARTH_CHECK(step.rows > 0 && step.rows <= limits_.rows, "the batch fits the workspace");
  HEARTH_CHECK(batch.logit_rows.size() <= static_cast<size_t>(limits_.logit_rows),
               "the logit rows fit the workspace");
  embed(step);
  for (int32_t i = 0; i < model_->config().num_layers; ++i) layer(step, i, kv.layer(i), progress);
  if (!batch.logit_rows.empty()) output_block(step);
}

std::span<float> ForwardPass::logits(size_t index) const {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  return {workspace_.logits + index * vocab, vocab};
}

/// The stream from tokens and learned positions, and the tables of rotary angles.
void ForwardPass::embed(const Step& step) {
  const ModelConfig& c = model_->config();
  table_->embed(step.context, {.table = model_->token_embedding(),
                               .tokens = step.batch.tokens.data(),
                               .rows = step.rows,
                               .scale = c.embedding_scale,
                               .out = workspace_.x});
  if (c.learned_positions > 0) {
    table_->embed(step.context, {.table = model_->position_embedding(),
                                 .tokens = step.batch.positions.data(),
                                 .rows = step.rows,
                                 .accumulate = true,
                                 .out = workspace_.x});
  }
  for (size_t i = 0; i < c.ropes.size(); ++i) {
    const RopeConfig& rope = c.ropes[i];
    const bool is_long =
        !rope.long_inverse_frequency.empty() && limits_.context_tokens > rope.original_context;
    const auto& frequency = is_long ? rope.long_inverse_frequency : rope.inverse_frequency;
    table_->rope_table(step.context, {.positions = step.batch.positions.data(),
                                      .rows = step.rows,
                                      .inverse_frequency = frequency.data(),
                                      .rotary_dim = rope.rotary_dim,
                                      .magnitude = rope.magnitude,
                                      .table = workspace_.rope_tables[i]});
  }
}

/// x += attention(norm(x)), then x += ffn(norm(x)); with a parallel residual both read the same x.
void ForwardPass::layer(const Step& step, int32_t index, const kernels::KvLayerView& kv,
                        const std::function<void()>& progress) {
  const LayerWeights& w = model_->layers()[static_cast<size_t>(index)];
  Workspace& ws = workspace_;
  const bool parallel = model_->config().parallel_residual;
  const float* attention_in = norm(step, w.attention_norm, ws.x, ws.normed);
  const float* ffn_in = attention_in;
  if (parallel && w.ffn_norm.weight != w.attention_norm.weight)
    ffn_in = norm(step, w.ffn_norm, ws.x, ws.ffn_normed);
  attention_block(step, index, attention_in, kv);
  if (progress) progress();
  if (!parallel) ffn_in = norm(step, w.ffn_norm, ws.x, ws.normed);
  ffn_block(step, w, ffn_in);
  if (progress) progress();
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
  norm(step, model_->output_norm(), {w.logit_input, c.hidden_size}, {w.logit_input, c.hidden_size},
       rows, c.hidden_size);
  const std::array out = {matmul_job(model_->output(), w.logits)};
  linear(step, w.logit_input, rows, c.hidden_size, out);
  if (c.logit_scale != 1.0F || c.logit_softcap > 0.0F) {
    table_->scale(step.context, {.x = w.logits,
                                 .count = rows * c.vocab_size,
                                 .scale = c.logit_scale,
                                 .softcap = c.logit_softcap});
  }
}

void ForwardPass::norm(const Step& step, const NormWeights& weights, Rows x, Rows out, int64_t rows,
                       int64_t cols) {
  const NormConfig& config = model_->config().norm;
  if (config.kind == NormKind::kLayer) {
    table_->layer_norm(step.context, {.x = x.data,
                                      .x_stride = x.stride,
                                      .weight = weights.weight,
                                      .bias = weights.bias,
                                      .eps = config.eps,
                                      .rows = rows,
                                      .cols = cols,
                                      .out = out.data,
                                      .out_stride = out.stride});
  } else {
    table_->rms_norm(step.context, {.x = x.data,
                                    .x_stride = x.stride,
                                    .weight = weights.weight,
                                    .eps = config.eps,
                                    .rows = rows,
                                    .cols = cols,
                                    .out = out.data,
                                    .out_stride = out.stride});
  }
}

float* ForwardPass::norm(const Step& step, const NormWeights& weights, float* x, float* out) {
  if (!weights.present()) return x;
  const int64_t hidden = model_->config().hidden_size;
  norm(step, weights, {x, hidden}, {out, hidden}, step.rows, hidden);
  return out;
}

ForwardPass::Branch ForwardPass::open_branch() const {
  if (has_branch(model_->config())) return {.out = workspace_.branch, .accumulate = false};
  return {.out = workspace_.x, .accumulate = true};
}

void ForwardPass::close_branch(const Step& step, const NormWeights& post_norm) {
  const ModelConfig& c = model_->config();
  if (!has_branch(c)) return;
  norm(step, post_norm, workspace_.branch, workspace_.branch);
  table_->add(step.context, {.x = workspace_.branch,
                             .scale = c.residual_scale,
                             .count = step.rows * c.hidden_size,
                             .out = workspace_.x});
}

bool ForwardPass::reads_q8(const kernels::WeightView& weight) const {
  return table_->matmul_input(weight.dtype) == kernels::MatmulInput::kQ8;
}

kernels::ActivationView ForwardPass::prepare(const Step& step, const float* x, int64_t rows,
                                             int64_t cols, bool wants_q8) {
  if (wants_q8)
    table_->quantize(step.context, {.x = x, .rows = rows, .cols = cols, .out = workspace_.q8});
  return {.f32 = x, .q8 = workspace_.q8, .rows = rows, .cols = cols};
}

/// Runs matmuls that share the input x [rows, cols].
void ForwardPass::linear(const Step& step, const float* x, int64_t rows, int64_t cols,
                         std::span<const kernels::MatmulArgs> jobs) {
  const bool wants_q8 = std::ranges::any_of(
      jobs, [this](const kernels::MatmulArgs& args) { return reads_q8(args.weight); });
  table_->matmul(step.context, prepare(step, x, rows, cols, wants_q8), jobs.data(),
                 static_cast<int>(jobs.size()));
}

}  // namespace hearth
