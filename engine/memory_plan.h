#pragma once
// What a configuration will cost, worked out before anything is allocated (DESIGN §2.8).

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/backend/device_weights.h"
#include "engine/forward/forward_pass.h"
#include "engine/model/model_config.h"
#include "kernels/dtype.h"

namespace hearth {

struct EngineOptions;

/// A GPU that layers may go to: what it has for this process, and what layers take of it.
struct GpuOffer {
  std::string name;
  uint64_t total_bytes = 0;
  uint64_t budget_bytes = 0;  // for `workers` workers
  int32_t workers = 1;        // that share one copy of the weights
  WeightSizes weights;        // of the model
};

/// What the workers take of a GPU: one copy of the weights, and the rest each.
struct DevicePlan {
  std::string name;
  int32_t layers = 0;  // the last ones of the model, and the output
  int32_t num_layers = 0;
  int32_t workers = 1;  // that share the weights
  uint64_t weights_bytes = 0;
  uint64_t kv_bytes = 0;          // of one worker
  uint64_t activation_bytes = 0;  // of one worker: the workspace, and scratch memory of the ops
  uint64_t budget_bytes = 0;      // for all of them
  uint64_t total_bytes = 0;
  int32_t largest_layers = 0;  // the most that would fit with this context and parallel

  /// Of all workers.
  [[nodiscard]] uint64_t bytes() const;
  [[nodiscard]] bool fits() const { return bytes() <= budget_bytes; }
  /// What the weights and `taken` bytes in each worker leave to each of them.
  [[nodiscard]] uint64_t left_to_each(uint64_t taken) const;
};

/// The cost of one worker, and the sizes it was worked out for.
struct MemoryPlan {
  uint64_t weights_bytes = 0;     // mapped, shared by all workers through the page cache
  uint64_t kv_bytes = 0;          // the KV pool, touched only as it fills
  uint64_t activation_bytes = 0;  // the forward pass's workspace
  uint64_t available_bytes = 0;   // what the worker may use of its own
  int32_t context_tokens = 0;     // most tokens of one sequence
  int32_t trained_context = 0;    // what the file says the model was trained for
  int32_t parallel = 0;           // most sequences in one step
  int32_t page_tokens = 0;
  int64_t kv_pages = 0;
  int32_t vocab_size = 0;
  DType kv_type = DType::kF16;
  uint64_t page_bytes = 0;  // of one KV page, all layers
  ForwardLimits limits;
  std::optional<DevicePlan> device;  // where layers are on a GPU; kv_bytes is the CPU's part then

  /// What the worker may take for KV pages and activations: all that the mapped weights leave, and
  /// at least half where the weights are larger than the memory and are paged.
  [[nodiscard]] uint64_t own_budget() const;
  [[nodiscard]] bool fits() const;
  /// The largest context that would fit with this `parallel`; 0 if none does.
  [[nodiscard]] int32_t largest_context() const;
  /// Why the plan does not fit: kResourceExhausted with the sums and the largest context, or the
  /// most layers that would fit the GPU.
  [[nodiscard]] Error shortfall() const;

  /// One line for the log: each part in MiB, and what it buys.
  [[nodiscard]] std::string describe() const;
};

/// Works out the sizes of `options` for a model with `config` in a file of `weights_bytes`. Sizes
/// the user left open shrink until the plan fits; sizes the user gave are kept, and the plan may
/// not fit. Without `gpu` all layers are on the CPU.
Result<MemoryPlan> size_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes, const GpuOffer* gpu = nullptr);

/// The same, but a plan that does not fit is kResourceExhausted with the byte sums and the largest
/// setting that would fit.
Result<MemoryPlan> make_memory_plan(const EngineOptions& options, const ModelConfig& config,
                                    uint64_t weights_bytes, const GpuOffer* gpu = nullptr);

}  // namespace hearth
