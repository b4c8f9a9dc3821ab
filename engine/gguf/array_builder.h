#pragma once
// Metadata arrays made in memory, in the form that the container's own arrays have: what parsers of
// other formats translate into.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "engine/gguf/metadata.h"

namespace hearth {

/// An array of strings, built one by one.
class StringArrayBuilder {
 public:
  void reserve_bytes(size_t bytes) { bytes_.reserve(bytes); }
  void add(std::string_view text) {
    begin(text.size());
    append(text);
  }
  /// A string in pieces: its length first, then appends that add up to it.
  void begin(uint64_t length) {
    bytes_.append(reinterpret_cast<const char*>(&length), sizeof(length));
    ++count_;
  }
  void append(std::string_view piece) { bytes_.append(piece); }

  [[nodiscard]] uint64_t count() const { return count_; }
  /// The array, stored in `metadata`.
  MetaArray keep_in(Metadata& metadata) && {
    const std::string_view kept = metadata.keep(std::move(bytes_));
    return {MetaType::kString, count_, std::as_bytes(std::span(kept))};
  }

 private:
  std::string bytes_;
  uint64_t count_ = 0;
};

/// `values` as an array, stored in `metadata`. T is float, int32_t or uint8_t.
template <typename T>
MetaArray keep_array(Metadata& metadata, std::span<const T> values) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, int32_t> ||
                std::is_same_v<T, uint8_t>);
  constexpr MetaType kType = std::is_same_v<T, float>     ? MetaType::kF32
                             : std::is_same_v<T, int32_t> ? MetaType::kI32
                                                          : MetaType::kU8;
  const auto bytes = std::as_bytes(values);
  const std::string_view kept =
      metadata.keep(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  return {kType, values.size(), std::as_bytes(std::span(kept))};
}

}  // namespace hearth
