#pragma once
// What one model file holds, whatever its format: the common ground of all parsers.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/gguf/model_file.h"

namespace hearth {

/// Vectors that do not lie in the mapping as kernels read them (aligned f32).
using TensorCopies = std::vector<std::unique_ptr<float[]>>;

/// Everything views the file's bytes, the metadata's kept strings, or the copies.
struct ParsedFile {
  std::string format;  // "GGUF", "ggjt", …
  uint32_t version = 0;
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // each within the file; names not yet known to be unique
  TensorCopies copies;
};

/// Bytes of a tensor from its type and dimensions. What is wrong with them, for a message
/// ("dimension 0: 33, expected …"), if a row is not whole blocks or the counts overflow.
Result<uint64_t> tensor_bytes(const TensorInfo& tensor);

/// Norms and biases, which kernels read as aligned f32: a one-dimensional float tensor that is not
/// so is copied. They are some thousand values a layer; matrices are read where they lie.
void copy_vector_if_needed(TensorInfo& tensor, TensorCopies& copies);

}  // namespace hearth
