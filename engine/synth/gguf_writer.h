#pragma once
// Writes GGUF files: metadata, tensor table, then tensor data as a stream.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "kernels/dtype.h"

namespace hearth {

/// Fills whole rows of one tensor: `out` is rows `first_row`, first_row + 1, … of `row_bytes`
/// each. Called in ascending order, each row once per file written.
using RowProducer = std::function<void(int64_t first_row, std::span<std::byte> out)>;
/// The same where rows may turn out not to be fit for writing: an error ends the file.
using CheckedRowProducer = std::function<Status(int64_t first_row, std::span<std::byte> out)>;

/// Collects what a file holds, then writes it in one pass. Keys and tensors keep their order.
/// Names and shapes are the caller's own: duplicates and broken shapes are checked as our mistakes.
class GgufWriter {
 public:
  /// `version` 2 or 3; `alignment` a power of two from 8 on, written as general.alignment if it is
  /// not the default.
  explicit GgufWriter(uint32_t version = 3, uint32_t alignment = 32);

  void add_u32(std::string_view key, uint32_t value);
  void add_f32(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_strings(std::string_view key, std::span<const std::string> values);
  void add_i32s(std::string_view key, std::span<const int32_t> values);
  void add_f32s(std::string_view key, std::span<const float> values);
  /// A value of another file's metadata; integers get the narrowest of 32 and 64 bits that fits.
  void add_value(std::string_view key, const MetaValue& value);

  /// `dims` fastest first, at most 4. Rows are dims[0] elements.
  void add_tensor(std::string_view name, DType dtype, std::span<const int64_t> dims,
                  RowProducer producer);
  void add_checked_tensor(std::string_view name, DType dtype, std::span<const int64_t> dims,
                          CheckedRowProducer producer);

  [[nodiscard]] size_t num_tensors() const { return tensors_.size(); }
  /// Size of the file that write() makes.
  [[nodiscard]] uint64_t file_bytes() const;

  /// Writes beside `path` and renames over it when complete, so that a reader never maps half a
  /// file. Errors (kIo) name the file; those of checked tensors are passed on.
  [[nodiscard]] Status write(const std::filesystem::path& path) const;

  /// Writes the model as `parts` files PREFIX-00001-of-0000N.gguf in `folder`, tensors in
  /// contiguous runs, metadata in the first. Returns the first part's path.
  [[nodiscard]] Result<std::filesystem::path> write_split(const std::filesystem::path& folder,
                                                          std::string_view prefix,
                                                          uint32_t parts) const;

 private:
  struct Tensor {
    std::string name;
    DType dtype;
    std::vector<int64_t> dims;
    uint64_t bytes;
    CheckedRowProducer producer;
  };

  /// Metadata as the file has it.
  struct Entries {
    uint64_t count = 0;
    std::string bytes;
  };

  void begin_entry(std::string_view key, MetaType type);
  void put_integer(std::string_view key, uint64_t value);
  void put_integer(std::string_view key, int64_t value);
  void put_float(std::string_view key, double value);
  void put_array(std::string_view key, const MetaArray& array);
  [[nodiscard]] Entries base_entries() const;
  [[nodiscard]] std::string header(const Entries& entries, std::span<const Tensor> tensors) const;
  [[nodiscard]] Status write_file(const std::filesystem::path& path, const Entries& entries,
                                  std::span<const Tensor> tensors) const;

  uint32_t version_;
  uint32_t alignment_;
  Entries entries_;
  std::vector<Tensor> tensors_;
};

}  // namespace hearth
