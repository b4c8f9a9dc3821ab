#pragma once
// Small model files for tests, and their bytes.

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "engine/synth/gguf_writer.h"

namespace hearth {

/// A folder that goes away with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "hearth-test-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Row r of every tensor is filled with byte r + 1.
inline RowProducer counting_rows(size_t bytes_per_row) {
  return [bytes_per_row](int64_t first_row, std::span<std::byte> out) {
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<std::byte>(first_row + 1 + static_cast<int64_t>(i / bytes_per_row));
  };
}

/// One key of every kind and a few tensors of different types.
inline GgufWriter sample_writer(uint32_t version = 3, uint32_t alignment = 32) {
  GgufWriter writer(version, alignment);
  writer.add_string("general.architecture", "llama");
  writer.add_u32("llama.block_count", 2);
  writer.add_f32("llama.epsilon", 1e-5F);
  writer.add_bool("tokenizer.add_bos", true);
  writer.add_value("test.u64", MetaValue(uint64_t{1} << 40));
  writer.add_value("test.i64", MetaValue(int64_t{-1} - (int64_t{1} << 40)));
  writer.add_value("test.i32", MetaValue(int64_t{-7}));
  writer.add_value("test.f64", MetaValue(0.1));
  writer.add_strings("test.strings", std::vector<std::string>{"a", "", "ccc"});
  writer.add_i32s("test.ints", std::vector<int32_t>{1, -2, 3});
  writer.add_f32s("test.floats", std::vector<float>{0.5F, -1.5F});
  writer.add_tensor("embed.weight", DType::kQ4_0, std::vector<int64_t>{64, 3}, counting_rows(36));
  writer.add_tensor("norm.weight", DType::kF32, std::vector<int64_t>{5}, counting_rows(20));
  writer.add_tensor("out.weight", DType::kQ6_K, std::vector<int64_t>{256, 2, 2},
                    counting_rows(210));
  return writer;
}

template <typename T>
std::string encoded(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

inline std::string encoded_string(const std::string& text) {
  return encoded(static_cast<uint64_t>(text.size())) + text;
}

/// Hand-made files: what GgufWriter refuses to write.
struct RawFile {
  std::vector<std::string> entries;
  std::vector<std::string> tensors;
  std::string data;
  std::optional<uint64_t> num_entries;
  std::optional<uint64_t> num_tensors;

  [[nodiscard]] std::string bytes() const {
    std::string out = "GGUF" + encoded<uint32_t>(3) +
                      encoded<uint64_t>(num_tensors.value_or(tensors.size())) +
                      encoded<uint64_t>(num_entries.value_or(entries.size()));
    for (const std::string& entry : entries) out += entry;
    for (const std::string& tensor : tensors) out += tensor;
    if (!tensors.empty()) out.resize((out.size() + 31) / 32 * 32);
    return out + data;
  }
};

inline std::string entry(const std::string& key, MetaType type, const std::string& value) {
  return encoded_string(key) + encoded(static_cast<uint32_t>(type)) + value;
}

inline std::string tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                          uint64_t offset) {
  std::string out = encoded_string(name) + encoded(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) out += encoded(dim);
  return out + encoded(type) + encoded(offset);
}

constexpr auto kF32 = static_cast<uint32_t>(DType::kF32);
constexpr auto kQ4_0 = static_cast<uint32_t>(DType::kQ4_0);

}  // namespace hearth
