#include "engine/forward/host_attention.h"

#include "engine/forward/attention_args.h"

namespace hearth {
namespace {

Workspace lay_out(Arena& arena, const ModelConfig& c, const ForwardLimits& limits) {
  const auto rows = static_cast<size_t>(limits.rows);
  Workspace w;
  w.q = arena.take<float>(rows * static_cast<size_t>(c.q_size()));
  w.k = arena.take<float>(rows * static_cast<size_t>(c.kv_size()));
  w.v = arena.take<float>(rows * static_cast<size_t>(c.kv_size()));
  w.attention = arena.take<float>(rows * static_cast<size_t>(c.q_size()));
  return w;
}

}  // namespace

uint64_t HostAttention::staging_bytes(const ModelConfig& config, const ForwardLimits& limits) {
  Arena arena;
  lay_out(arena, config, limits);
  return arena.used();
}

Result<HostAttention> HostAttention::create(const Model& model, const kernels::KernelTable& table,
                                            const ForwardLimits& limits, kernels::Device& device) {
  HostAttention attention(model, table, device);
  HEARTH_ASSIGN_OR_RETURN(
      attention.memory_,
      device.allocate_pinned(staging_bytes(model.config(), limits), "attention on the CPU"));
  Arena arena(attention.memory_.data());
  attention.host_ = lay_out(arena, model.config(), limits);
  return attention;
}

void HostAttention::run(const Batch& batch, int32_t index, const kernels::KvLayerView& kv,
                        const Workspace& workspace) {
  const ModelConfig& c = model_->config();
  const size_t q_bytes = batch.tokens.size() * static_cast<size_t>(c.q_size()) * sizeof(float);
  const size_t kv_bytes = batch.tokens.size() * static_cast<size_t>(c.kv_size()) * sizeof(float);
  device_->enqueue_download(host_.q, workspace.q, q_bytes);
  device_->enqueue_download(host_.k, workspace.k, kv_bytes);
  device_->enqueue_download(host_.v, workspace.v, kv_bytes);
  // Also for what the last layer brought back: its memory is written again now.
  device_->wait();
  table_->kv_store(context_, kv_store_args(c, batch, kv, host_));
  const float* sinks = model_->layers()[static_cast<size_t>(index)].sinks;
  table_->attention(context_, attention_args(c, index, batch, kv, sinks, host_));
  device_->enqueue_upload(workspace.attention, host_.attention, q_bytes);
}

}  // namespace hearth
