#pragma once
// Metadata of a model file: typed key-value pairs, read lazily from the mapping.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/result.h"

namespace hearth {

/// GGUF's metadata value types.
enum class MetaType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

/// An array of the file, not copied: `bytes` spans its elements, which were bounds-checked when
/// the file was parsed. Strings are u64 length + bytes, one after another.
struct MetaArray {
  MetaType element_type = MetaType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;
};

using MetaValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, MetaArray>;

/// Keys and values. String views and arrays point into the mapping of the file, or into strings
/// that this object keeps (overrides, and what was translated from another format). Errors name the
/// file, the key, what was found and expected.
class Metadata {
 public:
  [[nodiscard]] bool contains(std::string_view key) const;
  [[nodiscard]] const MetaValue* find(std::string_view key) const;

  /// Required values. Integers of any width and sign are accepted if the value fits.
  [[nodiscard]] Result<uint32_t> u32(std::string_view key) const;
  [[nodiscard]] Result<float> f32(std::string_view key) const;
  [[nodiscard]] Result<std::string_view> string(std::string_view key) const;

  /// Optional values: `fallback` only if the key is absent; a value of the wrong type is an error.
  [[nodiscard]] Result<uint32_t> u32_or(std::string_view key, uint32_t fallback) const;
  [[nodiscard]] Result<float> f32_or(std::string_view key, float fallback) const;
  [[nodiscard]] Result<bool> bool_or(std::string_view key, bool fallback) const;
  [[nodiscard]] Result<std::string_view> string_or(std::string_view key,
                                                   std::string_view fallback) const;

  /// Whole arrays. `strings` views the mapping. Numeric elements of any fitting type are accepted.
  [[nodiscard]] Result<std::vector<std::string_view>> strings(std::string_view key) const;
  [[nodiscard]] Result<std::vector<int32_t>> i32s(std::string_view key) const;
  [[nodiscard]] Result<std::vector<float>> f32s(std::string_view key) const;

  /// Replaces or adds a string, integer, float or bool value: "key=value" of `--override`.
  /// The type is that of the existing value; a new key becomes a string.
  Status override_value(std::string_view key, std::string_view value);

  /// For parsers. False if the key exists already. The key is viewed, not copied.
  bool insert(std::string_view key, MetaValue value);
  /// Stores `text` for as long as this object lives, moved or not, and returns a view of it.
  std::string_view keep(std::string text);
  void set_source(std::string file) { source_ = std::move(file); }
  /// The file's name as messages show it; empty if none was set.
  [[nodiscard]] const std::string& source() const { return source_; }

  [[nodiscard]] const std::unordered_map<std::string_view, MetaValue>& entries() const {
    return entries_;
  }

 private:
  std::string source_;  // file name for messages
  std::unordered_map<std::string_view, MetaValue> entries_;
  std::vector<std::unique_ptr<std::string>> owned_;
};

}  // namespace hearth
