#pragma once
// The forward pass of all decoder-only architectures: the layers on the CPU, then those on the
// device, if there are any.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/backend/device_weights.h"
#include "engine/backend/placement.h"
#include "engine/forward/batch.h"
#include "engine/forward/forward_segment.h"
#include "engine/kv_cache/kv_cache.h"
#include "engine/model/model.h"
#include "engine/sampler/device_sampler.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// What becomes of a step's logits where a device makes them; made by the CPU, they are just there.
struct LogitUse {
  DeviceSampler* sampler = nullptr;  // with the step's draws, if it has any; null: there are none
  bool all_to_host = true;           // else the rows of to_host alone
  std::vector<size_t> to_host;       // indices into Batch::logit_rows
};

/// Runs steps over one model. Owns its activations, planned at construction: run() allocates
/// nothing. One thread calls it; the CPU's ops spread over the context's thread pool.
class ForwardPass {
 public:
  /// Bytes of activations that these limits cost, on the CPU or on a device.
  static uint64_t workspace_bytes(const ModelConfig& config, const ForwardLimits& limits);
  /// What a device needs besides: scratch memory of its ops, and a step's input for `kv_pages`.
  static uint64_t device_scratch_bytes(const ModelConfig& config, const ForwardLimits& limits);

  /// `model`, `table` (the CPU's) and the placement's device must outlive the pass. Weights of
  /// layers on a device are copied there.
  static Result<ForwardPass> create(const Model& model, const kernels::KernelTable& table,
                                    const ForwardLimits& limits, const Placement& placement = {});

  /// Computes the batch: K and V of its rows go to their pages, logits to logits(). A row's result
  /// does not depend on the rows beside it. `context` is the CPU's. `progress`, if set, is called
  /// on this thread after each block of a layer; once where a device replays the step.
  void run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
           const std::function<void()>& progress = {}, const LogitUse& use = {});

  /// Where logits are made, if not by the CPU: a DeviceSampler there can draw from them.
  [[nodiscard]] kernels::Device* output_device() const { return device_; }

  /// From now on a device launches every step op by op, also those that it could replay. For tests
  /// and for measuring: the bits are the same.
  void launch_plainly() { records_steps_ = false; }

  /// Logits of batch.logit_rows[index] of the last run(), if they came to the host: [vocab_size]
  /// f32. May be written to.
  [[nodiscard]] std::span<float> logits(size_t index) const;

 private:
  ForwardPass(const Model& model, ForwardSegment host) : model_(&model), host_(std::move(host)) {}
  Status add_device(const ForwardLimits& limits, const Placement& placement);
  void run_on_device(const Batch& batch, const KvCache& kv, const std::function<void()>& progress,
                     const LogitUse& use);
  void bring_logits(size_t count, const LogitUse& use);
  const Batch& batch_for_device(const Batch& batch, bool recorded);
  void upload_stream(int32_t rows, int32_t padded_rows);

  const Model* model_;
  ForwardSegment host_;
  kernels::Device* device_ = nullptr;
  std::unique_ptr<DeviceWeights> device_weights_;  // device_segment_ points into it
  std::optional<ForwardSegment> device_segment_;
  HostMemory device_logits_;             // [logit_rows, vocab_size]: what came back
  kernels::PinnedMemory pinned_stream_;  // [sequences, hidden_size] f32
  int32_t most_decode_rows_ = 0;
  bool records_steps_ = true;
  Batch padded_;
};

}  // namespace hearth
