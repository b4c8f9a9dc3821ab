#pragma once
// A model file of any format, mapped and checked. The page to read first in engine/gguf.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "kernels/dtype.h"

namespace hearth {

/// A tensor where it lies in the mapping; offset, size and shape were checked against the file.
struct TensorInfo {
  std::string_view name;
  DType dtype = DType::kF32;
  uint32_t num_dims = 0;
  std::array<int64_t, 4> dims{1, 1, 1, 1};  // fastest first, as in the file: {cols, rows, …}
  const std::byte* data = nullptr;
  size_t bytes = 0;
};

/// One part of a model on disk and its read-only MAP_SHARED mapping.
class MappedFile;

/// Owns the mappings of all parts of a model, and what was parsed from them.
class ModelFile {
 public:
  /// Maps `path`: a GGUF file and, if it is the first part of a split model, its other parts; a
  /// ggml, ggmf or ggjt file of 2023; or the folder of a safetensors model. Names and metadata are
  /// those of GGUF whatever the format. Touches only metadata, tensor tables and, where they are
  /// not aligned f32, norms and biases: the cost does not grow with the size of the weights. Errors
  /// (kIo, kMalformed, kUnsupported) are one line: file, field, value, expectation.
  static Result<std::unique_ptr<ModelFile>> open(const std::filesystem::path& path);

  ~ModelFile();
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// "GGUF", "ggml", "ggmf", "ggjt" or "safetensors".
  [[nodiscard]] const std::string& format() const { return format_; }
  /// Of the format; 0 where it has none.
  [[nodiscard]] uint32_t version() const { return version_; }
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }
  [[nodiscard]] Metadata& mutable_metadata() { return metadata_; }
  [[nodiscard]] std::span<const TensorInfo> tensors() const { return tensors_; }
  [[nodiscard]] const TensorInfo* find_tensor(std::string_view name) const;

  /// Bytes of all parts: the size of the shared mapping.
  [[nodiscard]] size_t mapped_bytes() const;
  /// Of all parts, one after another: tells whether two processes map the same files (MappedFile).
  [[nodiscard]] std::vector<uint64_t> identity() const;
  /// Address ranges of the mappings, for residency reports.
  [[nodiscard]] std::vector<std::span<const std::byte>> mappings() const;

 private:
  friend class ModelFileBuilder;
  ModelFile();

  std::filesystem::path path_;
  std::string format_;
  uint32_t version_ = 0;
  std::vector<std::unique_ptr<MappedFile>> parts_;
  std::vector<std::unique_ptr<float[]>> copies_;  // of vectors that are not aligned f32
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace hearth
