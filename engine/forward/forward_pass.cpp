#include "engine/forward/forward_pass.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/forward/decode_bucket.h"

namespace hearth {
namespace {

uint64_t op_scratch_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  // Parts of sums that are shared out: of long contexts, of matmuls with few rows. What does not
  // fit is computed in one piece instead, to the same bits.
  constexpr uint64_t kShared = uint64_t{64} << 20;
  // Inputs of 16-bit float matrices, 2 bytes each, or of dequantized ones, as a library multiplies
  // them; and the scales of a row's parts.
  const uint64_t value_bytes = limits.fast_math_order ? sizeof(float) : sizeof(uint16_t);
  return kShared + uint64_t{largest_matmul_input(config, limits)} * value_bytes +
         uint64_t{matmul_input_rows(config, limits)} * kernels::HalfRows::kParts * sizeof(float);
}

}  // namespace

uint64_t ForwardPass::workspace_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  Arena arena;
  lay_out_workspace(arena, config, limits);
  return arena.used();
}

uint64_t ForwardPass::device_scratch_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  const uint64_t sampler =
      limits.logit_rows > 0 ? DeviceSampler::device_bytes(limits.sequences, config.vocab_size) : 0;
  const uint64_t library = limits.fast_math_order ? kernels::kGemmLibraryBytes : 0;
  return op_scratch_bytes(config, limits) + sampler + library;
}

uint64_t ForwardPass::crossing_bytes(const ModelConfig& config, const ForwardLimits& limits,
                                     size_t host_attentions) {
  const uint64_t stream = static_cast<uint64_t>(limits.rows) *
                          static_cast<uint64_t>(config.hidden_size) * sizeof(float);
  return stream + host_attentions * HostAttention::staging_bytes(config, limits);
}

ForwardLimits ForwardPass::without_logits(ForwardLimits limits) {
  limits.logit_rows = 0;
  return limits;
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
  for (const DeviceRange& range : placement.devices)
    HEARTH_RETURN_IF_ERROR(pass.add_device(
        range.layers.has_output ? limits : without_logits(limits), range, placement.weights));
  if (placement.devices.empty()) {
    if (limits.fast_math_order)
      spdlog::warn("no layers on a GPU: --fast-math-order changes nothing");
    return pass;
  }
  HEARTH_ASSIGN_OR_RETURN(pass.crossing_,
                          placement.devices.front().device->allocate_pinned(
                              pass.stream_bytes(static_cast<size_t>(limits.rows)), "the stream"));
  if (placement.kv_on_host) HEARTH_RETURN_IF_ERROR(pass.attend_on_host(table, limits));
  pass.most_decode_rows_ = std::min({limits.sequences, limits.rows, limits.logit_rows});
  // A temperature by position is a launch for each row that has one: no two steps are alike. And
  // what the host does in the middle of a step cannot be replayed.
  pass.records_steps_ = model.config().temperature.length == 0 && !placement.kv_on_host;
  return pass;
}

Status ForwardPass::add_device(const ForwardLimits& limits, const DeviceRange& range,
                               const WeightsSource& source) {
  kernels::Device& device = *range.device;
  HEARTH_ASSIGN_OR_RETURN(DeviceWeights loaded,
                          DeviceWeights::load(*model_, range.layers, device, source));
  auto weights = std::make_unique<DeviceWeights>(std::move(loaded));
  HEARTH_ASSIGN_OR_RETURN(ForwardSegment segment,
                          ForwardSegment::create(*model_, device.table(), limits,
                                                 {.first_layer = range.layers.first_layer,
                                                  .layers = weights->layers(),
                                                  .output_norm = weights->output_norm(),
                                                  .output = weights->output()},
                                                 &device));
  HEARTH_RETURN_IF_ERROR(device.reserve(op_scratch_bytes(model_->config(), limits), limits.rows,
                                        limits.logit_rows, limits.step_pages()));
  if (limits.fast_math_order) HEARTH_RETURN_IF_ERROR(use_gemm_library(device));
  std::unique_ptr<kernels::DeviceLink> link;
  if (!parts_.empty()) {
    kernels::Device& before = *parts_.back().device;
    HEARTH_ASSIGN_OR_RETURN(
        link, device.link_from(before, stream_bytes(static_cast<size_t>(limits.rows))));
    spdlog::info("layer {}: the stream goes from {} {} to {} {} {}", range.layers.first_layer,
                 before.info().name, before.info().index, device.info().name, device.info().index,
                 link->way());
  }
  parts_.push_back({.device = &device,
                    .weights = std::move(weights),
                    .segment = std::move(segment),
                    .link = std::move(link),
                    .host_attention = nullptr});
  return {};
}

Status ForwardPass::use_gemm_library(kernels::Device& device) {
  auto name = device.use_gemm_library();
  if (name.has_value()) {
    gemm_library_ = std::move(*name);
    return {};
  }
  if (name.error().code != ErrorCode::kUnsupported) return std::unexpected(name.error());
  // Of further devices it would say the same.
  if (parts_.empty())
    spdlog::warn("--fast-math-order changes nothing: cuBLAS cannot be used: {}",
                 name.error().message);
  return {};
}

Status ForwardPass::attend_on_host(const kernels::KernelTable& table, const ForwardLimits& limits) {
  for (DevicePart& part : parts_) {
    HEARTH_ASSIGN_OR_RETURN(HostAttention attention,
                            HostAttention::create(*model_, table, limits, *part.device));
    part.host_attention = std::make_unique<HostAttention>(std::move(attention));
    part.segment.use_host_attention(part.host_attention.get());
  }
  return {};
}

size_t ForwardPass::stream_bytes(size_t rows) const {
  return rows * static_cast<size_t>(model_->config().hidden_size) * sizeof(float);
}

void ForwardPass::run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
                      const std::function<void()>& progress, const LogitUse& use) {
  host_.begin(context, batch,
              {.positions = batch.positions.data(), .logit_rows = batch.logit_rows.data()});
  host_.embed();
  host_.run_layers(kv, progress);
  if (parts_.empty()) {
    host_.compute_logits();
  } else {
    run_on_devices(context, batch, kv, progress, use);
  }
}

/// The stream crosses to each device in turn, the logits come back from the last. Nothing is waited
/// for in between.
void ForwardPass::run_on_devices(const kernels::ExecContext& context, const Batch& batch,
                                 const KvCache& kv, const std::function<void()>& progress,
                                 const LogitUse& use) {
  const bool recorded = records_steps_ && is_plain_decode(batch) &&
                        std::cmp_less_equal(batch.tokens.size(), most_decode_rows_);
  const Batch& step = batch_for_devices(batch, recorded);
  bring_stream(batch.tokens.size(), step.tokens.size());
  DeviceSampler* const sampler = use.sampler;
  if (sampler != nullptr) sampler->upload(recorded ? static_cast<int32_t>(step.tokens.size()) : 0);
  for (DevicePart& part : parts_) {
    if (part.host_attention) part.host_attention->begin(context);
    run_part(part, step, recorded, kv, progress, &part == &parts_.back() ? sampler : nullptr);
  }
  if (progress) progress();
  if (sampler != nullptr) sampler->download();
  bring_logits(batch.logit_rows.size(), use);
  if (sampler != nullptr) parts_.back().device->wait();
}

/// The rows of logits that the host wants, runs of them at once.
void ForwardPass::bring_logits(size_t count, const LogitUse& use) {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  const auto bring = [&](size_t first, size_t rows) {
    parts_.back().device->download(logits(first).data(),
                                   parts_.back().segment.logits() + first * vocab,
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

void ForwardPass::run_part(DevicePart& part, const Batch& step, bool recorded, const KvCache& kv,
                           const std::function<void()>& progress, DeviceSampler* sampler) {
  const bool is_last = &part == &parts_.back();
  const kernels::StepPointers input =
      part.device->begin_step({.sequences = step.sequences,
                               .page_tokens = kPageTokens,
                               .positions = step.positions,
                               .logit_rows = is_last ? step.logit_rows : std::span<const int32_t>(),
                               .recorded = recorded});
  const size_t bytes = stream_bytes(step.tokens.size());
  if (part.link == nullptr) {
    part.device->enqueue_upload(part.segment.stream(), crossing_.data(), bytes);
  } else {
    part.link->send(part.segment.stream(), std::prev(&part)->segment.stream(), bytes);
  }
  const kernels::ExecContext context = part.device->context();
  const auto ops = [&] {
    part.segment.begin(context, step, input);
    part.segment.run_layers(kv, progress);
    if (is_last) part.segment.compute_logits();
    if (sampler != nullptr) sampler->launch(part.segment.logits());
  };
  if (recorded) {
    part.device->run_recorded(sampler == nullptr ? 0 : sampler->kind(), ops);
  } else {
    ops();
  }
}

const Batch& ForwardPass::batch_for_devices(const Batch& batch, bool recorded) {
  if (!recorded) return batch;
  const auto rows = static_cast<int32_t>(batch.tokens.size());
  pad_batch(batch, decode_bucket(rows, most_decode_rows_), padded_);
  return padded_;
}

/// Rows of the stream, and the last one again up to `padded_rows`, to where the first device reads
/// them: pinned memory, so that neither this step's launches nor the next one's layers on the CPU
/// wait for the copy.
void ForwardPass::bring_stream(size_t rows, size_t padded_rows) {
  parts_.front().device->wait_for_uploads();  // the last step's may still have to be made
  const size_t row_bytes = stream_bytes(1);
  const auto* from = reinterpret_cast<const std::byte*>(host_.stream());
  std::byte* to = std::copy_n(from, rows * row_bytes, crossing_.data());
  for (size_t row = rows; row < padded_rows; ++row)
    to = std::copy_n(from + (rows - 1) * row_bytes, row_bytes, to);
}

std::span<float> ForwardPass::logits(size_t index) const {
  const auto vocab = static_cast<size_t>(model_->config().vocab_size);
  return {host_.logits() + index * vocab, vocab};
}

}  // namespace hearth
