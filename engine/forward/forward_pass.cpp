#include "engine/forward/forward_pass.h"

#include <algorithm>
#include <utility>

#include "engine/forward/decode_bucket.h"

namespace hearth {

uint64_t ForwardPass::workspace_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  Arena arena;
  lay_out_workspace(arena, config, limits);
  return arena.used();
}

uint64_t ForwardPass::device_scratch_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  // Parts of sums that are shared out: of long contexts, of matmuls with few rows. What does not
  // fit is computed in one piece instead, to the same bits.
  constexpr uint64_t kShared = uint64_t{64} << 20;
  // Inputs of 16-bit float matrices, split in two of 2 bytes, and a scale for each row.
  const auto rows = static_cast<uint64_t>(std::max(limits.rows, limits.logit_rows)) *
                    static_cast<uint64_t>(std::max(config.experts.used, 1));
  const uint64_t of_ops = kShared + (largest_matmul_input(config, limits) + rows) * 4;
  return of_ops + DeviceSampler::device_bytes(limits.sequences, config.vocab_size);
}

Result<ForwardPass> ForwardPass::create(const Model& model, const kernels::KernelTable& table,
                                        const ForwardLimits& limits, const Placement& placement) {
  const auto host_layers = static_cast<size_t>(placement.host_layers(model.config().num_layers));
  HEARTH_ASSIGN_OR_RETURN(
      ForwardSegment host,
      ForwardSegment::create(model, table, limits,
                             {.first_layer = 0,
                              .layers = std::span(model.layers()).first(host_layers),
                              .output_norm = model.output_norm(),
                              .output = model.output()},
                             nullptr));
  ForwardPass pass(model, std::move(host));
  if (placement.device != nullptr) HEARTH_RETURN_IF_ERROR(pass.add_device(limits, placement));
  return pass;
}

Status ForwardPass::add_device(const ForwardLimits& limits, const Placement& placement) {
  const ModelConfig& config = model_->config();
  device_ = placement.device;
  HEARTH_ASSIGN_OR_RETURN(
      DeviceWeights weights,
      DeviceWeights::load(*model_, placement.first_device_layer, *device_, placement.weights));
  device_weights_ = std::make_unique<DeviceWeights>(std::move(weights));
  HEARTH_ASSIGN_OR_RETURN(device_segment_,
                          ForwardSegment::create(*model_, device_->table(), limits,
                                                 {.first_layer = placement.first_device_layer,
                                                  .layers = device_weights_->layers(),
                                                  .output_norm = device_weights_->output_norm(),
                                                  .output = device_weights_->output()},
                                                 device_));
  const auto logit_bytes = static_cast<size_t>(limits.logit_rows) *
                           static_cast<size_t>(config.vocab_size) * sizeof(float);
  HEARTH_ASSIGN_OR_RETURN(device_logits_, HostMemory::reserve(logit_bytes, "the logits"));
  most_decode_rows_ = std::min({limits.sequences, limits.rows, limits.logit_rows});
  // A temperature by position is a launch for each row that has one: no two steps are alike.
  records_steps_ = config.temperature.length == 0;
  HEARTH_ASSIGN_OR_RETURN(
      pinned_stream_,
      device_->allocate_pinned(static_cast<size_t>(most_decode_rows_) *
                                   static_cast<size_t>(config.hidden_size) * sizeof(float),
                               "the stream"));
  return device_->reserve(device_scratch_bytes(config, limits), limits.rows, limits.logit_rows,
                          limits.step_pages());
}

void ForwardPass::run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
                      const std::function<void()>& progress, const LogitUse& use) {
  host_.begin(context, batch,
              {.positions = batch.positions.data(), .logit_rows = batch.logit_rows.data()});
  host_.embed();
  host_.run_layers(kv, progress);
  if (device_ == nullptr) {
    host_.compute_logits();
  } else {
    run_on_device(batch, kv, progress, use);
  }
}

/// The stream crosses to the device, the logits come back. Nothing is waited for in between.
void ForwardPass::run_on_device(const Batch& batch, const KvCache& kv,
                                const std::function<void()>& progress, const LogitUse& use) {
  const bool recorded = records_steps_ && is_plain_decode(batch) &&
                        std::cmp_less_equal(batch.tokens.size(), most_decode_rows_);
  const Batch& step = batch_for_device(batch, recorded);
  const kernels::StepPointers input = device_->begin_step({.sequences = step.sequences,
                                                           .page_tokens = kPageTokens,
                                                           .positions = step.positions,
                                                           .logit_rows = step.logit_rows,
                                                           .recorded = recorded});
  upload_stream(static_cast<int32_t>(batch.tokens.size()),
                static_cast<int32_t>(step.tokens.size()));
  DeviceSampler* const sampler = use.sampler;
  if (sampler != nullptr) sampler->upload(recorded ? static_cast<int32_t>(step.tokens.size()) : 0);
  const auto ops = [&] {
    device_segment_->begin(device_->context(), step, input);
    device_segment_->run_layers(kv, progress);
    device_segment_->compute_logits();
    if (sampler != nullptr) sampler->launch(device_segment_->logits());
  };
  if (recorded) {
    device_->run_recorded(sampler == nullptr ? 0 : sampler->kind(), ops);
  } else {
    ops();
  }
  if (progress) progress();
  if (sampler != nullptr) sampler->download();
  bring_logits(batch.logit_rows.size(), use);
  // Also where nothing comes back: the next step reuses what this one reads.
  device_->wait();
}

/// The rows of logits that the host wants, runs of them at once.
void ForwardPass::bring_logits(size_t count, const LogitUse& use) {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  const auto bring = [&](size_t first, size_t rows) {
    device_->download(logits(first).data(), device_segment_->logits() + first * vocab,
                      rows * vocab * sizeof(float));
  };
  if (use.all_to_host) {
    if (count > 0) bring(0, count);
    return;
  }
  for (size_t i = 0; i < use.to_host.size();) {
    size_t rows = 1;
    while (i + rows < use.to_host.size() && use.to_host[i + rows] == use.to_host[i] + rows) ++rows;
    bring(use.to_host[i], rows);
    i += rows;
  }
}

const Batch& ForwardPass::batch_for_device(const Batch& batch, bool recorded) {
  if (!recorded) return batch;
  const auto rows = static_cast<int32_t>(batch.tokens.size());
  pad_batch(batch, decode_bucket(rows, most_decode_rows_), padded_);
  return padded_;
}

/// Rows of the stream, and the last one again up to `padded_rows`. Decode rows go through pinned
/// memory, so that nothing waits; prompts are rare, and large.
void ForwardPass::upload_stream(int32_t rows, int32_t padded_rows) {
  const size_t row_bytes = static_cast<size_t>(model_->config().hidden_size) * sizeof(float);
  const size_t bytes = static_cast<size_t>(rows) * row_bytes;
  const size_t padded_bytes = static_cast<size_t>(padded_rows) * row_bytes;
  const auto* from = reinterpret_cast<const std::byte*>(host_.stream());
  if (padded_bytes > pinned_stream_.bytes()) {
    device_->upload(device_segment_->stream(), from, bytes);
    return;
  }
  std::byte* to = std::copy_n(from, bytes, pinned_stream_.data());
  while (to < pinned_stream_.data() + padded_bytes)
    to = std::copy_n(from + bytes - row_bytes, row_bytes, to);
  device_->enqueue_upload(device_segment_->stream(), pinned_stream_.data(), padded_bytes);
}

std::span<float> ForwardPass::logits(size_t index) const {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  float* logits =
      device_ == nullptr ? host_.logits() : reinterpret_cast<float*>(device_logits_.data());
  return {logits + index * vocab, vocab};
}

}  // namespace hearth
