#pragma once

#include <cstdint>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/quantize/output_tensors.h"

namespace hearth {

/// Which row of a tensor of the input becomes a row of the output. GGUF files of llama models pair
/// neighbouring rows of a head for rotary positions (Su et al. 2021, RoFormer); safetensors folders
/// pair a head's halves, so rows of Q and K are interleaved on the way.
class RowOrder {
 public:
  /// Rows stay where they are.
  RowOrder() = default;
  /// The order for a tensor made from `file`. Errors name the metadata key.
  static Result<RowOrder> of(const ModelFile& file, const OutputTensor& tensor);

  [[nodiscard]] bool is_identity() const { return rotary_dim_ == 0; }
  [[nodiscard]] int64_t source(int64_t row) const {
    if (rotary_dim_ == 0) return row;
    const int64_t at = row % head_dim_;
    if (at >= rotary_dim_) return row;
    return row - at + at / 2 + (at % 2) * (rotary_dim_ / 2);
  }

 private:
  int64_t head_dim_ = 0;
  int64_t rotary_dim_ = 0;
};

}  // namespace hearth
