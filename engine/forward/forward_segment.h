#pragma once
// A run of layers on one device: the part of the forward pass of all decoder-only architectures,
// driven by ModelConfig, that model code sees. It calls ops through a table and never asks where
// they run.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/backend/host_memory.h"
#include "engine/forward/batch.h"
#include "engine/forward/host_attention.h"
#include "engine/forward/workspace.h"
#include "engine/kv_cache/kv_cache.h"
#include "engine/model/model.h"
#include "kernels/device.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// What a segment runs: layers `first_layer` … of the model, whose weights are where its ops read.
struct SegmentWeights {
  int32_t first_layer = 0;
  std::span<const LayerWeights> layers;
  NormWeights output_norm;
  LinearWeights output;
};

/// Owns its activations, planned at construction: a step allocates nothing.
class ForwardSegment {
 public:
  /// `device` null: on the CPU. All must outlive the segment.
  static Result<ForwardSegment> create(const Model& model, const kernels::KernelTable& table,
                                       const ForwardLimits& limits, const SegmentWeights& weights,
                                       kernels::Device* device);

  /// K and V of the layers are in host memory: `attention` stores them and attends. It must outlive
  /// the segment.
  void use_host_attention(HostAttention* attention) { host_attention_ = attention; }

  /// Begins a step: `input` is the batch where the ops read it.
  void begin(const kernels::ExecContext& context, const Batch& batch,
             const kernels::StepPointers& input);
  /// The stream from tokens and learned positions. On the CPU alone.
  void embed();
  /// The segment's layers. `progress`, if set, is called after each block.
  void run_layers(const KvCache& kv, const std::function<void()>& progress);
  /// Logits of the rows that were asked for.
  void compute_logits();

  [[nodiscard]] float* stream() const { return workspace_.x; }       // [rows, hidden_size]
  [[nodiscard]] float* logits() const { return workspace_.logits; }  // [logit_rows, vocab_size]

 private:
  /// What the layers of one step share.
  struct Step {
    kernels::ExecContext context;
    const Batch* batch = nullptr;
    kernels::StepPointers input;
    int64_t rows = 0;
  };
  /// Where the last matmul of a block writes, and whether it adds to what is there.
  struct Branch {
    float* out;
    bool accumulate;
  };
  /// What matmuls read: f32 values, null where none reads them; their compact form is in the
  /// workspace if `quantized`.
  struct Input {
    const float* f32 = nullptr;
    bool quantized = false;
  };
  /// The forms that the readers of an input want.
  struct Forms {
    bool f32 = false;
    bool compact = false;
  };

  ForwardSegment(const Model& model, const kernels::KernelTable& table, const ForwardLimits& limits,
                 const SegmentWeights& weights)
      : model_(&model), table_(&table), limits_(limits), weights_(weights) {}

  Status place_frequencies(kernels::Device* device);
  /// Whether 16-bit floats are to be in their own order: where F16 weights alone read them.
  [[nodiscard]] bool wants_order() const;
  void layer(const Step& step, int32_t index, const kernels::KvLayerView& kv,
             const std::function<void()>& progress);
  [[nodiscard]] const LayerWeights& layer_weights(int32_t index) const {
    return weights_.layers[static_cast<size_t>(index - weights_.first_layer)];
  }

  // attention_block.cpp
  void attention_block(const Step& step, int32_t index, const Input& x,
                       const kernels::KvLayerView& kv);
  void place_heads(const Step& step, int32_t index, const kernels::KvLayerView& kv);
  bool place_heads_at_once(const Step& step, int32_t index, const kernels::KvStoreArgs& store);
  [[nodiscard]] kernels::RopeArgs rope_args(const Step& step, int32_t index, float* x,
                                            int32_t heads) const;
  void norm_heads(const Step& step, const NormWeights& weights, float* x, int32_t heads);
  void rotate(const Step& step, int32_t index, float* x, int32_t heads);
  void apply_temperature(const Step& step);
  void attend(const Step& step, int32_t index, const kernels::KvLayerView& kv);

  // ffn_block.cpp
  [[nodiscard]] Forms ffn_forms(const LayerWeights& layer) const;
  void ffn_block(const Step& step, const LayerWeights& layer, Input x);
  void dense_block(const Step& step, const LayerWeights& layer, const Input& x, Branch to);
  void expert_block(const Step& step, const ExpertWeights& experts, const Input& x, Branch to);

  /// Rows of floats at a stride.
  struct Rows {
    float* data;
    int64_t stride;
  };
  void norm(const Step& step, const NormWeights& weights, Rows x, Rows out, int64_t rows,
            int64_t cols);
  /// x [rows, hidden_size], or its norm where the weights are present: in `out`, in the forms that
  /// are wanted or at least as f32.
  Input normed(const Step& step, const NormWeights& weights, float* x, float* out, int64_t rows,
               Forms forms);
  /// Where a block writes its result, and what brings that to the stream.
  [[nodiscard]] Branch open_branch() const;
  void close_branch(const Step& step, const NormWeights& post_norm);

  /// activation(gate) * up for `reader`.
  Input activate(const Step& step, float* gate, const float* up, int64_t rows, int64_t cols,
                 const kernels::WeightView& reader);
  /// x in the form or forms that weights of these types read, quantized if any reads the compact
  /// one.
  kernels::ActivationView prepare(const Step& step, const Input& x, int64_t rows, int64_t cols,
                                  bool wants_compact);
  [[nodiscard]] bool reads_compact(const kernels::WeightView& weight) const;
  [[nodiscard]] Forms forms_of(std::initializer_list<const LinearWeights*> readers) const;
  void linear(const Step& step, const Input& x, int64_t rows, int64_t cols,
              std::span<const kernels::MatmulArgs> jobs);

  const Model* model_;
  const kernels::KernelTable* table_;
  ForwardLimits limits_;
  SegmentWeights weights_;
  HostAttention* host_attention_ = nullptr;  // null: attention is computed where the layers are
  HostMemory memory_;
  kernels::DeviceMemory device_memory_;     // instead of memory_ on a device
  kernels::DeviceMemory frequency_memory_;  // the same for what frequencies_ points to
  std::vector<const double*> frequencies_;  // of ModelConfig::ropes
  Workspace workspace_;
  Step step_;
};

/// The job out (+)= W x + b over rows that lie next to each other.
kernels::MatmulArgs matmul_job(const LinearWeights& weights, float* out, bool accumulate = false);

}  // namespace hearth
