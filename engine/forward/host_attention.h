#pragma once
// Attention of layers on a device whose K and V are in host memory (--no-kv-offload): Q, K and V of
// the rows come to the host, which stores and attends, and what it attended to goes back. The cache
// is then read at the speed of host memory, several times that of the way to a device, and bounded
// by host memory alone.

#include <cstdint>

#include "engine/forward/batch.h"
#include "engine/forward/workspace.h"
#include "engine/model/model.h"
#include "kernels/device.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// Owns pinned memory for the rows' q, k, v and attention.
class HostAttention {
 public:
  /// Bytes of that memory.
  static uint64_t staging_bytes(const ModelConfig& config, const ForwardLimits& limits);

  /// `table` is the CPU's. All must outlive it.
  static Result<HostAttention> create(const Model& model, const kernels::KernelTable& table,
                                      const ForwardLimits& limits, kernels::Device& device);

  /// Begins a step with the CPU's context.
  void begin(const kernels::ExecContext& context) { context_ = context; }
  /// Stores K and V of the rows and attends to what is in the pages of layer `index`, from
  /// `workspace`'s q, k and v to its attention, all on the device. Waits for the device once.
  void run(const Batch& batch, int32_t index, const kernels::KvLayerView& kv,
           const Workspace& workspace);

 private:
  HostAttention(const Model& model, const kernels::KernelTable& table, kernels::Device& device)
      : model_(&model), table_(&table), device_(&device) {}

  const Model* model_;
  const kernels::KernelTable* table_;
  kernels::Device* device_;
  kernels::PinnedMemory memory_;
  Workspace host_;  // q, k, v and attention alone, in memory_
  kernels::ExecContext context_;
};

}  // namespace hearth
