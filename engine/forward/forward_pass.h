#pragma once
// The one forward pass of all decoder-only architectures, driven by ModelConfig.

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "engine/backend/host_memory.h"
#include "engine/forward/batch.h"
#include "engine/kv_cache/kv_cache.h"
#include "engine/model/model.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// The most rows a step can have, and the most of them whose logits can be asked for.
struct ForwardLimits {
  int32_t rows = 512;
  int32_t logit_rows = 16;
};

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
  /// Activations of one step, each [rows, …] f32 unless noted.
  struct Workspace {
    float* x = nullptr;            // [rows, hidden_size], the residual stream
    float* normed = nullptr;       // [rows, hidden_size]
    float* q = nullptr;            // [rows, q_size]
    float* k = nullptr;            // [rows, kv_size]
    float* v = nullptr;            // [rows, kv_size]
    float* attention = nullptr;    // [rows, q_size]
    float* gate = nullptr;         // [rows, ffn_size]
    float* up = nullptr;           // [rows, ffn_size]
    float* rope_table = nullptr;   // [rows, rotary_dim / 2, 2]
    kernels::Q8Rows q8;            // of the widest matmul input
    float* logit_input = nullptr;  // [logit_rows, hidden_size]
    float* logits = nullptr;       // [logit_rows, vocab_size]
  };
  /// What the layers of one step share.
  struct Step {
    const kernels::ExecContext& context;
    const Batch& batch;
    int64_t rows;
  };

  ForwardPass(const Model& model, const kernels::KernelTable& table, const ForwardLimits& limits)
      : model_(&model), table_(&table), limits_(limits) {}

  static Workspace lay_out(Arena& arena, const ModelConfig& config, const ForwardLimits& limits);
  void attention_block(const Step& step, const LayerWeights& layer, const kernels::KvLayerView& kv);
  void ffn_block(const Step& step, const LayerWeights& layer);
  void output_block(const Step& step);
  void norm(const Step& step, const float* x, const float* weight, float* out, int64_t rows);
  void head_norm(const Step& step, float* x, const float* weight, int32_t heads);
  void rotate(const Step& step, float* x, int32_t heads);
  void linear(const Step& step, const float* x, int64_t rows, int64_t cols,
              std::span<const kernels::MatmulArgs> jobs);

  const Model* model_;
  const kernels::KernelTable* table_;
  ForwardLimits limits_;
  HostMemory memory_;
  Workspace workspace_;
};

}  // namespace hearth
