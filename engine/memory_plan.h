#pragma once
// What a configuration will cost, worked out before anything is allocated (DESIGN §2.8).

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/backend/device_plan.h"
#include "engine/forward/forward_pass.h"
#include "engine/model/model_config.h"
#include "kernels/dtype.h"

namespace hearth {

struct EngineOptions;

/// The cost of one worker, and the sizes it was worked out for.
struct MemoryPlan {
  uint64_t weights_bytes = 0;     // mapped, shared by all workers through the page cache
  uint64_t kv_bytes = 0;          // the KV pool, touched only as it fills
  uint64_t activation_bytes = 0;  // the forward pass's workspace, and crossings to GPUs
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
  int32_t num_layers = 0;
  /// GPUs with layers, in order of these; kv_bytes is the CPU's part then.
  std::vector<DevicePlan> devices;
  bool kv_on_host = false;          // the KV cache of their layers is in kv_bytes, too
  int32_t most_device_layers = 0;   // that would fit with this context and parallel
  int64_t most_pages = 0;           // that would fit with these layers on GPUs
  std::vector<std::string> unused;  // GPUs that were offered and get no layer

  /// What the worker may take for KV pages and activations: all that the mapped weights leave, and
  /// at least half where the weights are larger than the memory and are paged.
  [[nodiscard]] uint64_t own_budget() const;
  [[nodiscard]] bool fits() const;
  /// On GPUs together.
  [[nodiscard]] int32_t device_layers() const;
  /// The largest context that would fit with this `parallel`; 0 if none does.
  [[nodiscard]] int32_t largest_context() const;
  /// Why the plan does not fit: kResourceExhausted with the sums of each device and the largest
  /// context, or the most layers that would fit the GPUs.
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
