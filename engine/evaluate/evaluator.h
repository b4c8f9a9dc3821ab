#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/evaluate/machine_limits.h"
#include "engine/evaluate/op_profile.h"
#include "engine/forward/forward_pass.h"
#include "engine/model/model.h"
#include "engine/sampler/device_sampler.h"
#include "kernels/cpu/thread_pool.h"

namespace hearth {

/// Logit rows of one step of Evaluator::logits().
inline constexpr int32_t kLogitRows = 64;

/// Runs one sequence through a model and gives its logits or its time, without scheduler and
/// sampler: for `hearth verify` and `hearth bench`. One thread.
class Evaluator {
 public:
  /// `options.context_tokens` is the longest sequence (required); `parallel` how many of them
  /// (0: one). With `profiled`, each op is timed (profile()); one such evaluator at a time.
  static Result<std::unique_ptr<Evaluator>> load(const EngineOptions& options,
                                                 bool profiled = false);

  [[nodiscard]] const ModelConfig& config() const { return model_->config(); }

  /// Logits [tokens, vocab_size] of a fresh sequence, computed in steps of `chunk` rows.
  Result<std::vector<float>> logits(std::span<const int32_t> tokens, int32_t chunk);

  /// Sum of -ln p(token | the tokens before it) over all tokens of a fresh sequence but the first,
  /// in nats. Holds no more than one step's logits.
  Result<double> sequence_nll(std::span<const int32_t> tokens);

  /// Adds `tokens` of sequence `index` at `position` in one step, with logits of the last row if
  /// `wants_logits`. The caller keeps positions consecutive.
  void append(int32_t index, int32_t position, std::span<const int32_t> tokens, bool wants_logits);
  /// One decode step of the sequences 0 … tokens.size() - 1, all at `position`. Where a device
  /// draws tokens (EngineOptions::gpu_sampling), it draws one of each sequence, as for a server.
  void decode(int32_t position, std::span<const int32_t> tokens);

  /// The coarsest of the kernels that have layers.
  [[nodiscard]] kernels::HalfRounding half_rounding() const { return half_rounding_; }

  [[nodiscard]] int32_t step_rows() const { return limits_.rows; }

  /// The ops of the steps so far; null if they are not timed.
  [[nodiscard]] OpProfile* profile() { return profile_.get(); }
  /// What the machine gives now to this evaluator's threads, instruction set and weights.
  [[nodiscard]] MachineLimits machine_limits();

 private:
  Evaluator(std::unique_ptr<Model> model, std::vector<std::unique_ptr<kernels::Device>> devices,
            std::unique_ptr<OpProfile> profile, const kernels::KernelTable& cpu_kernels,
            std::unique_ptr<kernels::ThreadPool> pool, KvCache kv, ForwardPass forward,
            const ForwardLimits& limits, int32_t num_sequences, int32_t sequence_pages);
  Status draw_on(kernels::Device& device, int32_t num_sequences);
  [[nodiscard]] Status check_sequence(std::span<const int32_t> tokens) const;
  /// Runs a fresh sequence in steps of `chunk` rows and calls f(i, logits of row i) for each.
  template <typename F>
  void for_each_row(std::span<const int32_t> tokens, int32_t chunk, const F& f);
  /// Page numbers of sequence `index`: sequences own fixed, consecutive pages.
  [[nodiscard]] const int32_t* pages(int32_t index) const;

  std::unique_ptr<Model> model_;
  std::vector<std::unique_ptr<kernels::Device>> devices_;  // with layers, in order of these
  std::unique_ptr<OpProfile> profile_;  // the forward pass calls its table for layers on the CPU
  std::string_view isa_;
  kernels::HalfRounding half_rounding_;
  std::unique_ptr<kernels::ThreadPool> pool_;
  KvCache kv_;
  ForwardPass forward_;
  ForwardLimits limits_;
  int32_t sequence_pages_;
  std::vector<int32_t> page_numbers_;  // [sequences, sequence_pages]
  Batch batch_;
  std::optional<DeviceSampler> sampler_;  // of decode()
  std::vector<Sampler> samplers_;         // one for each sequence
};

}  // namespace hearth
