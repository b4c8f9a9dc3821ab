#pragma once
// Tensors of a model file by name, checked against the shapes that the description asks for.

#include <string>
#include <string_view>
#include <unordered_set>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/layer_weights.h"
#include "engine/model/model_config.h"

namespace hearth {

/// Remembers which tensors were asked for. Errors (kMalformed: missing, other shape; kUnsupported:
/// other type) name the file and the tensor.
class TensorLookup {
 public:
  /// `file` must outlive the lookup and what it gives.
  explicit TensorLookup(const ModelFile& file);

  [[nodiscard]] bool contains(const std::string& name) const {
    return file_.find_tensor(name) != nullptr;
  }

  /// A matrix [rows, cols] of any type that Hearth reads.
  Result<kernels::WeightView> matrix(const std::string& name, int64_t rows, int64_t cols);

  /// Values of f32, as norms and biases are stored: [size], or [count, size].
  Result<const float*> vector(const std::string& name, int64_t size, int64_t count = 1);

  /// NAME.weight [rows, cols] and NAME.bias [rows].
  Result<LinearWeights> linear(const std::string& name, int64_t rows, int64_t cols, Presence bias);

  /// NAME.weight [size], or [count, size], and NAME.bias of the same shape.
  Result<NormWeights> norm(const std::string& name, int64_t size, Presence bias, int64_t count = 1);

  /// NAME_exps.weight [count, rows, cols], or NAME.0.weight … of one type, and NAME_exps.bias
  /// [count, rows].
  Result<ExpertMatrices> experts(const std::string& name, int64_t count, int64_t rows, int64_t cols,
                                 Presence bias);

  void mark_used(std::string_view name) { used_.insert(name); }

  /// Tensors that the description has no place for may change the model's meaning: says so in the
  /// log.
  void report_unused() const;

 private:
  Result<const TensorInfo*> required(const std::string& name);
  Result<const float*> bias(const std::string& name, int64_t size, int64_t count,
                            Presence presence);
  [[nodiscard]] std::unexpected<Error> shape_error(const TensorInfo& tensor,
                                                   const std::string& expected) const;

  const ModelFile& file_;
  std::string source_;
  std::unordered_set<std::string_view> used_;
};

/// Rows [begin, begin + count) of the weights, where they lie.
LinearWeights rows_of(const LinearWeights& weights, int64_t begin, int64_t count);

}  // namespace hearth
