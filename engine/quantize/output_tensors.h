#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"

namespace hearth {

/// A tensor of the new file: one of the input's, or a stack of several of one shape and type.
struct OutputTensor {
  std::string name;
  uint32_t num_dims = 0;
  std::array<int64_t, 4> dims{1, 1, 1, 1};
  std::vector<const TensorInfo*> parts;  // outermost dimension first to last

  [[nodiscard]] DType dtype() const { return parts.front()->dtype; }  // of the input
};

/// The tensors of `file` as GGUF has them, in its order: matrices of experts that lie one by one
/// ("blk.0.ffn_up.7.weight") become a stack ("blk.0.ffn_up_exps.weight") at the place of the first.
/// kMalformed if the experts of a stack are not 0, 1, … with equal shapes and types.
Result<std::vector<OutputTensor>> output_tensors(const ModelFile& file);

}  // namespace hearth
