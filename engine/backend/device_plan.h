#pragma once
// What workers take of each GPU.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/backend/device_weights.h"
#include "engine/backend/placement.h"

namespace hearth {

/// A GPU that layers may go to.
struct DeviceOffer {
  std::string name;
  int32_t index = 0;
  uint64_t total_bytes = 0;
  uint64_t budget_bytes = 0;   // for all workers, their contexts included
  uint64_t context_bytes = 0;  // what each worker's process takes beside its allocations
};

/// The GPUs that layers may go to, in the order in which they get them, and what layers take.
struct GpuOffer {
  std::vector<DeviceOffer> devices;  // at least one
  int32_t workers = 1;               // that share one copy of the weights on each device
  WeightSizes weights;               // of the model
};

/// What the workers take of a GPU: one copy of the weights, and the rest each.
struct DevicePlan {
  std::string name;
  int32_t index = 0;
  LayerRange layers;
  int32_t workers = 1;            // that share the weights
  uint64_t weights_bytes = 0;     // of all of them together
  uint64_t kv_bytes = 0;          // of one worker
  uint64_t activation_bytes = 0;  // of one worker: the workspace, and scratch memory of the ops
  uint64_t context_bytes = 0;     // of one worker
  uint64_t budget_bytes = 0;      // for all of them
  uint64_t total_bytes = 0;

  /// Of all workers.
  [[nodiscard]] uint64_t bytes() const;
  [[nodiscard]] bool fits() const { return bytes() <= budget_bytes; }
  /// What weights, activations and contexts leave to each worker for its KV cache.
  [[nodiscard]] uint64_t left_for_kv() const;
};

}  // namespace hearth
