// The feed-forward block of a layer: dense, experts, or experts with a dense block beside them.
#include <array>

#include "engine/forward/forward_segment.h"

namespace hearth {

/// The forms of its input that a layer's block reads; the rows of experts are gathered as f32.
ForwardSegment::Forms ForwardSegment::ffn_forms(const LayerWeights& layer) const {
  if (!layer.experts.router.present()) return forms_of({&layer.up, &layer.gate});
  return {.f32 = true, .compact = reads_compact(layer.experts.router.weight)};
}

/// x += ffn(x_in)
void ForwardSegment::ffn_block(const Step& step, const LayerWeights& layer, Input x) {
  Branch to = open_branch();
  if (layer.experts.router.present()) {
    expert_block(step, layer.experts, x, to);
    to.accumulate = true;
    x.quantized = false;  // the codes are the experts' now
  }
  if (layer.up.present()) dense_block(step, layer, x, to);
  close_branch(step, layer.post_ffn_norm);
}

/// down(activation(gate(x)) * up(x)), or down(activation(up(x))) without a gate.
void ForwardSegment::dense_block(const Step& step, const LayerWeights& layer, const Input& x,
                                 Branch to) {
  const int64_t hidden = model_->config().hidden_size;
  const int64_t ffn = layer.up.weight.rows;
  Workspace& w = workspace_;
  const bool gated = layer.gate.present();
  const std::array jobs = {matmul_job(layer.up, w.up), matmul_job(layer.gate, w.gate)};
  linear(step, x, step.rows, hidden, std::span(jobs).first(gated ? 2 : 1));
  const Input activated = activate(step, gated ? w.gate : w.up, gated ? w.up : nullptr, step.rows,
                                   ffn, layer.down.weight);
  const std::array down = {matmul_job(layer.down, to.out, to.accumulate)};
  linear(step, activated, step.rows, ffn, down);
}

/// The sum over each row's experts of weight * expert(x). Rows go to slots that lie next to each
/// other for each expert, so that a matrix is read once for all rows that use it.
void ForwardSegment::expert_block(const Step& step, const ExpertWeights& experts, const Input& x,
                                  Branch to) {
  const ModelConfig& c = model_->config();
  const ExpertConfig& e = c.experts;
  ExpertWorkspace& w = workspace_.experts;
  const int64_t slots = step.rows * e.used;
  const std::array router = {matmul_job(experts.router, w.logits)};
  linear(step, x, step.rows, c.hidden_size, router);
  table_->route(step.context, {.logits = w.logits,
                               .rows = step.rows,
                               .experts = e.count,
                               .used = e.used,
                               .router = e.router,
                               .scale = e.scale,
                               .chosen = w.chosen,
                               .weight = w.weight,
                               .begin = w.begin,
                               .source = w.source,
                               .slot = w.slot});
  table_->gather(step.context, {.x = x.f32,
                                .source = w.source,
                                .weight = e.weigh_input ? w.weight : nullptr,
                                .slots = slots,
                                .used = e.used,
                                .cols = c.hidden_size,
                                .out = w.x});
  const auto multiply = [&](const kernels::ActivationView& input, const ExpertMatrices& matrices,
                            float* out) {
    table_->expert_matmul(step.context, input,
                          {.weights = matrices.weights.data(),
                           .bias = matrices.bias,
                           .begin = w.begin,
                           .experts = e.count,
                           .out = out});
  };
  const bool wants_compact =
      reads_compact(experts.gate.weights.front()) || reads_compact(experts.up.weights.front());
  const auto input = prepare(step, {.f32 = w.x}, slots, c.hidden_size, wants_compact);
  multiply(input, experts.gate, w.gate);
  multiply(input, experts.up, w.up);
  const kernels::WeightView& down = experts.down.weights.front();
  const Input activated = activate(step, w.gate, w.up, slots, e.ffn_size, down);
  // The rows are not needed any more: their slots take the results.
  multiply(prepare(step, activated, slots, e.ffn_size, reads_compact(down)), experts.down, w.x);
  table_->combine(step.context, {.x = w.x,
                                 .slot = w.slot,
                                 .weight = e.weigh_input ? nullptr : w.weight,
                                 .rows = step.rows,
                                 .used = e.used,
                                 .cols = c.hidden_size,
                                 .accumulate = to.accumulate,
                                 .out = to.out});
}

/// gate = activation(gate) * up, or activation(gate) without `up`, [rows, cols]; as codes alone
/// where that is all that `reader` reads and the table makes them at once.
ForwardSegment::Input ForwardSegment::activate(const Step& step, float* gate, const float* up,
                                               int64_t rows, int64_t cols,
                                               const kernels::WeightView& reader) {
  kernels::ActivateArgs args = {.activation = model_->config().activation,
                                .gate = gate,
                                .up = up,
                                .gate_stride = cols,
                                .up_stride = cols,
                                .rows = rows,
                                .cols = cols,
                                .out = gate,
                                .out_stride = cols};
  if (!reads_compact(reader) || table_->activate_quantize == nullptr) {
    table_->activate(step.context, args);
    return {.f32 = gate};
  }
  args.out = nullptr;
  table_->activate_quantize(step.context,
                            {.activate = args, .q8 = workspace_.q8, .half = workspace_.half});
  return {.quantized = true};
}

}  // namespace hearth
