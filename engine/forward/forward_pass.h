#pragma once
// The one forward pass of all decoder-only architectures, driven by ModelConfig.

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "engine/backend/host_memory.h"
#include "engine/forward/batch.h"
#include "engine/forward/workspace.h"
#include "engine/kv_cache/kv_cache.h"
#include "engine/model/model.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// Runs steps over one model. Owns its activations, planned at construction: run() allocates
/// nothing. One thread calls it; the ops spread over the context's thread pool.
class ForwardPass {
 public:
  /// Bytes of activations that these limits cost.
  static uint64_t workspace_bytes(const ModelConfig& config, const ForwardLimits& limits);

  /// `model` and `table` must outlive the pass.
  static Result<ForwardPass> create(const Model& model, const kernels::KernelTable& table,
                                    const ForwardLimits& limits);

  /// Computes the batch: K and V of its rows go to their pages, logits to logits(). A row's result
  /// does not depend on the rows beside it. `progress`, if set, is called on this thread after each
  /// block of a layer.
  void run(const kernels::ExecContext& context, const Batch& batch, const KvCache& kv,
           const std::function<void()>& progress = {});

  /// Logits of batch.logit_rows[index] of the last run(): [vocab_size] f32. May be written to.
  [[nodiscard]] std::span<float> logits(size_t index) const;

 private:
  /// What the layers of one step share.
  struct Step {
    const kernels::ExecContext& context;
    const Batch& batch;
    int64_t rows;
  };
  /// Where the last matmul of a block writes, and whether it adds to what is there.
  struct Branch {
    float* out;
    bool accumulate;
  };

  ForwardPass(const Model& model, const kernels::KernelTable& table, const ForwardLimits& limits)
      : model_(&model), table_(&table), limits_(limits) {}

  void embed(const Step& step);
  void layer(const Step& step, int32_t index, const kernels::KvLayerView& kv,
             const std::function<void()>& progress);
  void output_block(const Step& step);

  // attention_block.cpp
  void attention_block(const Step& step, int32_t index, const float* x,
                       const kernels::KvLayerView& kv);
  void norm_heads(const Step& step, const NormWeights& weights, float* x, int32_t heads);
  void rotate(const Step& step, int32_t index, float* x, int32_t heads);
  void apply_temperature(const Step& step);
  void attend(const Step& step, int32_t index, const kernels::KvLayerView& kv);

  // ffn_block.cpp
  void ffn_block(const Step& step, const LayerWeights& layer, const float* x);
  void dense_block(const Step& step, const LayerWeights& layer, const float* x, Branch to);
  void expert_block(const Step& step, const ExpertWeights& experts, const float* x, Branch to);

  /// Rows of floats at a stride.
  struct Rows {
    float* data;
    int64_t stride;
  };
  void norm(const Step& step, const NormWeights& weights, Rows x, Rows out, int64_t rows,
            int64_t cols);
  /// x [step.rows, hidden_size], or its norm in `out` where the weights are present.
  float* norm(const Step& step, const NormWeights& weights, float* x, float* out);
  /// Where a block writes its result, and what brings that to the stream.
  [[nodiscard]] Branch open_branch() const;
  void close_branch(const Step& step, const NormWeights& post_norm);

  void activate(const Step& step, float* gate, const float* up, int64_t rows, int64_t cols);
  /// x in the form or forms that weights of these types read, quantized if any reads int8.
  kernels::ActivationView prepare(const Step& step, const float* x, int64_t rows, int64_t cols,
                                  bool wants_q8);
  [[nodiscard]] bool reads_q8(const kernels::WeightView& weight) const;
  void linear(const Step& step, const float* x, int64_t rows, int64_t cols,
              std::span<const kernels::MatmulArgs> jobs);

  const Model* model_;
  const kernels::KernelTable* table_;
  ForwardLimits limits_;
  HostMemory memory_;
  Workspace workspace_;
};

/// The job out (+)= W x + b over rows that lie next to each other.
kernels::MatmulArgs matmul_job(const LinearWeights& weights, float* out, bool accumulate = false);

}  // namespace hearth
