#pragma once
// A model ready to run: its description and its weights where they lie in the mapped file.

#include <filesystem>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/model_config.h"
#include "kernels/tensor_view.h"

namespace hearth {

/// y = W x + b. The bias is null where the file has none.
struct LinearWeights {
  kernels::WeightView weight;
  const float* bias = nullptr;  // [weight.rows]
};

/// Shapes are [outputs, inputs].
struct LayerWeights {
  const float* attention_norm = nullptr;  // [hidden_size]
  LinearWeights q;                        // [q_size, hidden_size]
  LinearWeights k;                        // [kv_size, hidden_size]
  LinearWeights v;                        // [kv_size, hidden_size]
  LinearWeights attention_out;            // [hidden_size, q_size]
  const float* q_norm = nullptr;          // [head_dim], with ModelConfig::qk_norm
  const float* k_norm = nullptr;          // [head_dim]
  const float* ffn_norm = nullptr;        // [hidden_size]
  LinearWeights gate;                     // [ffn_size, hidden_size]
  LinearWeights up;                       // [ffn_size, hidden_size]
  LinearWeights down;                     // [hidden_size, ffn_size]
};

/// Owns the mapped file; weights are views into it. Immutable after load.
class Model {
 public:
  /// Opens the file, reads the description, and checks every tensor's presence, shape and type.
  /// Touches no weight: the cost does not grow with the file's size.
  static Result<std::unique_ptr<Model>> load(const std::filesystem::path& path);

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const ModelFile& file() const { return *file_; }
  [[nodiscard]] const kernels::WeightView& token_embedding() const { return token_embedding_; }
  [[nodiscard]] const std::vector<LayerWeights>& layers() const { return layers_; }
  [[nodiscard]] const float* output_norm() const { return output_norm_; }
  /// [vocab_size, hidden_size]; the token embedding where the file ties the two.
  [[nodiscard]] const LinearWeights& output() const { return output_; }

 private:
  Model() = default;

  std::unique_ptr<ModelFile> file_;
  ModelConfig config_;
  kernels::WeightView token_embedding_;
  std::vector<LayerWeights> layers_;
  const float* output_norm_ = nullptr;
  LinearWeights output_;
};

}  // namespace hearth
