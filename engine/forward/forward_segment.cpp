#include "engine/forward/forward_segment.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>

#include "base/check.h"

namespace hearth {

kernels::MatmulArgs matmul_job(const LinearWeights& weights, float* out, bool accumulate) {
  return {.weight = weights.weight,
          .bias = weights.bias,
          .accumulate = accumulate,
          .out = out,
          .out_stride = weights.weight.rows};
}

Result<ForwardSegment> ForwardSegment::create(const Model& model, const kernels::KernelTable& table,
                                              const ForwardLimits& limits,
                                              const SegmentWeights& weights,
                                              kernels::Device* device) {
  ForwardSegment segment(model, table, limits, weights);
  Arena count;
  lay_out_workspace(count, model.config(), limits);
  if (device == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(segment.memory_, HostMemory::reserve(count.used(), "the activations"));
    Arena arena(segment.memory_);
    segment.workspace_ = lay_out_workspace(arena, model.config(), limits);
  } else {
    HEARTH_ASSIGN_OR_RETURN(segment.device_memory_,
                            device->allocate(count.used(), "the activations"));
    Arena arena(segment.device_memory_.data());
    segment.workspace_ = lay_out_workspace(arena, model.config(), limits);
  }
  segment.workspace_.half.in_order = segment.wants_order();
  HEARTH_RETURN_IF_ERROR(segment.place_frequencies(device));
  return segment;
}

bool ForwardSegment::wants_order() const {
  // A library rounds x for itself (kernels/matmul/gemm_matmul.h).
  if (limits_.fast_math_order) return false;
  bool wanted = false;
  bool possible = true;
  const auto add = [&](const kernels::WeightView& weight) {
    const kernels::MatmulInput input = table_->matmul_input(weight.dtype);
    if (weight.data == nullptr || input == kernels::MatmulInput::kF32) return;
    wanted |= input == kernels::MatmulInput::kOrderedHalf;
    // Rows are whole blocks that are loaded 16 bytes at a time.
    possible &= input == kernels::MatmulInput::kOrderedHalf && weight.cols % 32 == 0 &&
                reinterpret_cast<uintptr_t>(weight.data) % 16 == 0;
  };
  for (const LayerWeights& layer : weights_.layers) {
    for (const LinearWeights* weights :
         {&layer.q, &layer.k, &layer.v, &layer.attention_out, &layer.gate, &layer.up, &layer.down,
          &layer.experts.router})
      add(weights->weight);
    for (const ExpertMatrices* matrices :
         {&layer.experts.gate, &layer.experts.up, &layer.experts.down})
      for (const kernels::WeightView& weight : matrices->weights) add(weight);
  }
  add(weights_.output.weight);
  return wanted && possible;
}

/// Inverse frequencies where rope_table reads them: the model's own, or copies on the device.
Status ForwardSegment::place_frequencies(kernels::Device* device) {
  std::vector<std::span<const double>> sources;
  for (const RopeConfig& rope : model_->config().ropes) {
    const bool is_long =
        !rope.long_inverse_frequency.empty() && limits_.context_tokens > rope.original_context;
    sources.emplace_back(is_long ? rope.long_inverse_frequency : rope.inverse_frequency);
    frequencies_.push_back(sources.back().data());
  }
  if (device == nullptr || sources.empty()) return {};
  const size_t values = std::accumulate(
      sources.begin(), sources.end(), size_t{0},
      [](size_t sum, std::span<const double> source) { return sum + source.size(); });
  HEARTH_ASSIGN_OR_RETURN(frequency_memory_,
                          device->allocate(values * sizeof(double), "rotary frequencies"));
  auto* at = reinterpret_cast<double*>(frequency_memory_.data());
  for (size_t i = 0; i < sources.size(); ++i) {
    device->upload(at, sources[i].data(), sources[i].size_bytes());
    frequencies_[i] = at;
    at += sources[i].size();
  }
  return {};
}

void ForwardSegment::begin(const kernels::ExecContext& context, const Batch& batch,
                           const kernels::StepPointers& input) {
  step_ = {context, &batch, input, static_cast<int64_t>(batch.tokens.size())};
  HEARTH_CHECK(step_.rows > 0 && step_.rows <= limits_.rows, "the batch fits the workspace");
  if (weights_.layers.empty()) return;
  const ModelConfig& c = model_->config();
  for (size_t i = 0; i < c.ropes.size(); ++i) {
    table_->rope_table(context, {.positions = input.positions,
                                 .rows = step_.rows,
                                 .inverse_frequency = frequencies_[i],
                                 .rotary_dim = c.ropes[i].rotary_dim,
                                 .magnitude = c.ropes[i].magnitude,
                                 .table = workspace_.rope_tables[i]});
  }
}

void ForwardSegment::embed() {
  const ModelConfig& c = model_->config();
  table_->embed(step_.context, {.table = model_->token_embedding(),
                                .tokens = step_.batch->tokens.data(),
                                .rows = step_.rows,
                                .scale = c.embedding_scale,
                                .out = workspace_.x});
  if (c.learned_positions > 0) {
    table_->embed(step_.context, {.table = model_->position_embedding(),
                                  .tokens = step_.batch->positions.data(),
                                  .rows = step_.rows,
                                  .accumulate = true,
                                  .out = workspace_.x});
  }
}

void ForwardSegment::run_layers(const KvCache& kv, const std::function<void()>& progress) {
  const auto count = static_cast<int32_t>(weights_.layers.size());
  for (int32_t i = weights_.first_layer; i < weights_.first_layer + count; ++i)
    layer(step_, i, kv.layer(i), progress);
}

/// x += attention(norm(x)), then x += ffn(norm(x)); with a parallel residual both read the same x.
void ForwardSegment::layer(const Step& step, int32_t index, const kernels::KvLayerView& kv,
                           const std::function<void()>& progress) {
  const LayerWeights& w = layer_weights(index);
  Workspace& ws = workspace_;
  const bool parallel = model_->config().parallel_residual;
  Forms attention_forms = forms_of({&w.q, &w.k, &w.v});
  attention_forms.f32 |= parallel;  // the other block reads it later
  const Input attention_in =
      normed(step, w.attention_norm, ws.x, ws.normed, step.rows, attention_forms);
  Input ffn_in = {.f32 = attention_in.f32};
  // Before the attention block changes x; its codes would not last.
  if (parallel && w.ffn_norm.weight != w.attention_norm.weight)
    ffn_in = normed(step, w.ffn_norm, ws.x, ws.ffn_normed, step.rows, {.f32 = true});
  attention_block(step, index, attention_in, kv);
  if (progress) progress();
  if (!parallel) ffn_in = normed(step, w.ffn_norm, ws.x, ws.normed, step.rows, ffn_forms(w));
  ffn_block(step, w, ffn_in);
  if (progress) progress();
}

void ForwardSegment::compute_logits() {
  const Step& step = step_;
  const ModelConfig& c = model_->config();
  Workspace& w = workspace_;
  const auto rows = static_cast<int64_t>(step.batch->logit_rows.size());
  HEARTH_CHECK(rows <= limits_.logit_rows, "the logit rows fit the workspace");
  if (rows == 0) return;
  table_->gather(step.context, {.x = w.x,
                                .source = step.input.logit_rows,
                                .slots = rows,
                                .used = 1,
                                .cols = c.hidden_size,
                                .out = w.logit_input});
  const Input input = normed(step, weights_.output_norm, w.logit_input, w.logit_input, rows,
                             forms_of({&weights_.output}));
  const std::array out = {matmul_job(weights_.output, w.logits)};
  linear(step, input, rows, c.hidden_size, out);
  if (c.logit_scale != 1.0F || c.logit_softcap > 0.0F) {
    table_->scale(step.context, {.x = w.logits,
                                 .count = rows * c.vocab_size,
                                 .scale = c.logit_scale,
                                 .softcap = c.logit_softcap});
  }
}

void ForwardSegment::norm(const Step& step, const NormWeights& weights, Rows x, Rows out,
                          int64_t rows, int64_t cols) {
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

ForwardSegment::Input ForwardSegment::normed(const Step& step, const NormWeights& weights, float* x,
                                             float* out, int64_t rows, Forms forms) {
  if (!weights.present()) return {.f32 = x};
  const ModelConfig& c = model_->config();
  const bool at_once =
      forms.compact && c.norm.kind == NormKind::kRms && table_->rms_norm_quantize != nullptr;
  if (!at_once) {
    norm(step, weights, {x, c.hidden_size}, {out, c.hidden_size}, rows, c.hidden_size);
    return {.f32 = out};
  }
  float* f32 = forms.f32 ? out : nullptr;
  table_->rms_norm_quantize(step.context, {.norm = {.x = x,
                                                    .x_stride = c.hidden_size,
                                                    .weight = weights.weight,
                                                    .eps = c.norm.eps,
                                                    .rows = rows,
                                                    .cols = c.hidden_size,
                                                    .out = f32,
                                                    .out_stride = c.hidden_size},
                                           .q8 = workspace_.q8,
                                           .half = workspace_.half});
  return {.f32 = f32, .quantized = true};
}

ForwardSegment::Branch ForwardSegment::open_branch() const {
  if (has_branch(model_->config())) return {.out = workspace_.branch, .accumulate = false};
  return {.out = workspace_.x, .accumulate = true};
}

void ForwardSegment::close_branch(const Step& step, const NormWeights& post_norm) {
  const ModelConfig& c = model_->config();
  if (!has_branch(c)) return;
  if (post_norm.present()) {
    norm(step, post_norm, {workspace_.branch, c.hidden_size}, {workspace_.branch, c.hidden_size},
         step.rows, c.hidden_size);
  }
  table_->add(step.context, {.x = workspace_.branch,
                             .scale = c.residual_scale,
                             .count = step.rows * c.hidden_size,
                             .out = workspace_.x});
}

bool ForwardSegment::reads_compact(const kernels::WeightView& weight) const {
  const kernels::MatmulInput input = table_->matmul_input(weight.dtype);
  if (input == kernels::MatmulInput::kOrderedHalf) return workspace_.half.in_order;
  return input != kernels::MatmulInput::kF32;
}

ForwardSegment::Forms ForwardSegment::forms_of(
    std::initializer_list<const LinearWeights*> readers) const {
  Forms forms;
  for (const LinearWeights* reader : readers) {
    if (!reader->present()) continue;
    const bool compact = reads_compact(reader->weight);
    forms.compact |= compact;
    forms.f32 |= !compact;
  }
  return forms;
}

kernels::ActivationView ForwardSegment::prepare(const Step& step, const Input& x, int64_t rows,
                                                int64_t cols, bool wants_compact) {
  if (wants_compact && !x.quantized)
    table_->quantize(
        step.context,
        {.x = x.f32, .rows = rows, .cols = cols, .out = workspace_.q8, .half = workspace_.half});
  return {.f32 = x.f32, .q8 = workspace_.q8, .rows = rows, .cols = cols, .half = workspace_.half};
}

/// Runs matmuls that share the input x [rows, cols].
void ForwardSegment::linear(const Step& step, const Input& x, int64_t rows, int64_t cols,
                            std::span<const kernels::MatmulArgs> jobs) {
  const bool wants_compact = std::ranges::any_of(
      jobs, [this](const kernels::MatmulArgs& args) { return reads_compact(args.weight); });
  table_->matmul(step.context, prepare(step, x, rows, cols, wants_compact), jobs.data(),
                 static_cast<int>(jobs.size()));
}

}  // namespace hearth
