#pragma once
// The binary form of messages: little-endian fields one after another, no names, no padding. Both
// ends are the same binary, so there is no versioning; but either end may die at any byte, so the
// decoder checks every count against what is there before it reserves memory.
//
// A message type T states its fields once, in fields(archive, value); Encoder and Decoder are the
// two archives.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace hearth::ipc {

static_assert(std::endian::native == std::endian::little, "frames are written as memory has them");

template <typename T>
concept Scalar = std::integral<T> || std::floating_point<T>;

/// Appends values to a string.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}

  template <Scalar T>
  void operator()(const T& value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  template <typename E>
  requires std::is_enum_v<E>
  void enumeration(const E& value, E /*last*/) {
    (*this)(static_cast<std::underlying_type_t<E>>(value));
  }
  void operator()(const std::string& text) {
    (*this)(static_cast<uint32_t>(text.size()));
    out_ += text;
  }
  template <typename A, typename B>
  void operator()(const std::pair<A, B>& pair) {
    (*this)(pair.first);
    (*this)(pair.second);
  }
  template <typename T>
  void operator()(const std::vector<T>& items) {
    (*this)(static_cast<uint32_t>(items.size()));
    if constexpr (Scalar<T>) {
      out_.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T));
    } else {
      for (const T& item : items) (*this)(item);
    }
  }
  /// The alternative's index as one byte, then its fields.
  template <typename... Ts>
  void operator()(const std::variant<Ts...>& value) {
    (*this)(static_cast<uint8_t>(value.index()));
    std::visit([this](const auto& alternative) { (*this)(alternative); }, value);
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(const T& value) { fields(*this, value); }

 private:
  std::string& out_;
};

/// Reads values from bytes. After the first failure every value stays as it was and ok() is false.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }
  void fail() { ok_ = false; }

  template <Scalar T>
  void operator()(T& value) {
    // A bool is read as a byte: any other value than 0 and 1 would be undefined in a bool.
    if constexpr (std::same_as<T, bool>) {
      uint8_t byte = 0;
      (*this)(byte);
      if (byte > 1) fail();
      if (ok_) value = byte == 1;
    } else {
      copy(&value, sizeof(T));
    }
  }
  /// Values from 0 to `last` are accepted.
  template <typename E>
  requires std::is_enum_v<E>
  void enumeration(E& value, E last) {
    std::underlying_type_t<E> number{};
    (*this)(number);
    if (number < 0 || number > static_cast<std::underlying_type_t<E>>(last)) fail();
    if (ok_) value = static_cast<E>(number);
  }
  void operator()(std::string& text) {
    const uint32_t size = count(1);
    if (!ok_) return;
    text.assign(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
  }
  template <typename A, typename B>
  void operator()(std::pair<A, B>& pair) {
    (*this)(pair.first);
    (*this)(pair.second);
  }
  template <typename T>
  void operator()(std::vector<T>& items) {
    if constexpr (Scalar<T>) {
      const uint32_t size = count(sizeof(T));
      if (!ok_) return;
      items.resize(size);
      copy(items.data(), size * sizeof(T));
    } else {
      // Grown one by one: an element takes at least a byte of input, and memory follows the input.
      const uint32_t size = count(1);
      items.clear();
      for (uint32_t i = 0; i < size && ok_; ++i) (*this)(items.emplace_back());
    }
  }
  template <typename... Ts>
  void operator()(std::variant<Ts...>& value) {
    uint8_t index = 0;
    (*this)(index);
    if (ok_) alternative(value, index);
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(T& value) { fields(*this, value); }

 private:
  template <size_t I = 0, typename... Ts>
  void alternative(std::variant<Ts...>& value, size_t index) {
    if constexpr (I == sizeof...(Ts)) {
      fail();
    } else if (index == I) {
      (*this)(value.template emplace<I>());
    } else {
      alternative<I + 1>(value, index);
    }
  }
  /// A count of elements that take at least `min_bytes` each.
  uint32_t count(size_t min_bytes) {
    uint32_t size = 0;
    (*this)(size);
    if (size > bytes_.size() / min_bytes) fail();
    return ok_ ? size : 0;
  }
  void copy(void* to, size_t size) {
    if (!ok_ || size > bytes_.size()) {
      fail();
      return;
    }
    if (size > 0) __builtin_memcpy(to, bytes_.data(), size);
    bytes_.remove_prefix(size);
  }

  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace hearth::ipc
