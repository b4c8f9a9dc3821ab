#pragma once
// The forward pass of all decoder-only architectures: the layers on the CPU, then those of each
// device in turn.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
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
  /// Limits of a device whose layers are not the last ones: it computes no logits.
  static ForwardLimits without_logits(ForwardLimits limits);
  /// Pinned host memory that crossings take, where there are devices: so many of them attend in
  /// host memory.
  static uint64_t crossing_bytes(const ModelConfig& config, const ForwardLimits& limits,
                                 size_t host_attentions);
  /// What a device needs besides: scratch memory of its ops, and what draws from the logits where
  /// there are any.
  static uint64_t device_scratch_bytes(const ModelConfig& config, const ForwardLimits& limits);

  /// `model`, `table` (the CPU's) and the placement's devices must outlive the pass. Weights of
  /// layers on a device are copied there.
  static Result<ForwardPass> create(const Model& model, const kernels::KernelTable& table,
                                    const ForwardLimits& limits, const Placement& placement = {});

  /// Computes the batch: K and V of its rows go to their pages, logits to logits(). A row's result
  /// does not depend on the rows beside it. `context` is the CPU's. `progress`, if set, is called
  /// on this thread after each block of a layer, and once where devices are done. Where no logits
  /// are wanted devices may still be at work when this returns: the next step's first layers run
  /// beside this one's last.
  void run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
           const std::function<void()>& progress = {}, const LogitUse& use = {});

  /// Where logits are made, if not by the CPU: a DeviceSampler there can draw from them.
  [[nodiscard]] kernels::Device* output_device() const {
    return parts_.empty() ? nullptr : parts_.back().device;
  }

  /// From now on devices launch every step op by op, also those that they could replay. For tests
  /// and for measuring: the bits are the same.
  void launch_plainly() { records_steps_ = false; }

  /// What multiplies many rows on the devices in its own order (ForwardLimits::fast_math_order):
  /// "cuBLAS 13.1.0". Empty: our kernels do.
  [[nodiscard]] const std::string& gemm_library() const { return gemm_library_; }

  /// Logits of batch.logit_rows[index] of the last run(), if they came to the host: [vocab_size]
  /// f32. May be written to.
  [[nodiscard]] std::span<float> logits(size_t index) const;

 private:
  /// A range of layers on a device, and the way of the stream to it.
  struct DevicePart {
    kernels::Device* device;
    std::unique_ptr<DeviceWeights> weights;  // `segment` points into it
    ForwardSegment segment;
    std::unique_ptr<kernels::DeviceLink> link;      // from the part before; null: from the CPU
    std::unique_ptr<HostAttention> host_attention;  // null: K and V are on the device
  };

  ForwardPass(const Model& model, ForwardSegment host) : model_(&model), host_(std::move(host)) {}
  Status add_device(const ForwardLimits& limits, const DeviceRange& range,
                    const WeightsSource& source);
  Status use_gemm_library(kernels::Device& device);
  Status attend_on_host(const kernels::KernelTable& table, const ForwardLimits& limits);
  void run_on_devices(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
                      const std::function<void()>& progress, const LogitUse& use);
  void run_part(DevicePart& part, const Batch& step, bool recorded, const KvCache& kv,
                const std::function<void()>& progress, DeviceSampler* sampler);
  void bring_logits(size_t count, const LogitUse& use);
  const Batch& batch_for_devices(const Batch& batch, bool recorded);
  void bring_stream(size_t rows, size_t padded_rows);
  [[nodiscard]] size_t stream_bytes(size_t rows) const;

  const Model* model_;
  ForwardSegment host_;
  std::vector<DevicePart> parts_;   // in order of layers; empty: all on the CPU
  kernels::PinnedMemory crossing_;  // [rows, hidden_size]: the stream on its way to the first part
  int32_t most_decode_rows_ = 0;
  bool records_steps_ = true;
  std::string gemm_library_;
  Batch padded_;
};

}  // namespace hearth
