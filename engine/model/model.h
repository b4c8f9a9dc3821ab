#pragma once
// A model ready to run: its description and its weights where they lie in the mapped file.

#include <filesystem>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/layer_weights.h"
#include "engine/model/model_config.h"
#include "kernels/tensor_view.h"

namespace hearth {

/// Owns the mapped file; weights are views into it. Immutable after load.
class Model {
 public:
  /// Opens the file, reads the description, and checks every tensor's presence, shape and type.
  /// Touches no weight: the cost does not grow with the file's size.
  static Result<std::unique_ptr<Model>> load(const std::filesystem::path& path);

  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const ModelFile& file() const { return *file_; }
  [[nodiscard]] const kernels::WeightView& token_embedding() const { return token_embedding_; }
  /// [learned_positions, hidden_size], or without data.
  [[nodiscard]] const kernels::WeightView& position_embedding() const {
    return position_embedding_;
  }
  [[nodiscard]] const std::vector<LayerWeights>& layers() const { return layers_; }
  [[nodiscard]] const NormWeights& output_norm() const { return output_norm_; }
  /// [vocab_size, hidden_size]; the token embedding where the file ties the two.
  [[nodiscard]] const LinearWeights& output() const { return output_; }

 private:
  Model() = default;

  std::unique_ptr<ModelFile> file_;
  ModelConfig config_;
  kernels::WeightView token_embedding_;
  kernels::WeightView position_embedding_;
  std::vector<LayerWeights> layers_;
  NormWeights output_norm_;
  LinearWeights output_;
};

}  // namespace hearth
