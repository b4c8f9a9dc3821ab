#include "engine/gguf/metadata.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};

/// What a value is, for messages: "the integer 7", "a string".
std::string describe(const MetaValue& value) {
  return std::visit(
      Overloaded{
          [](uint64_t v) { return "the integer " + std::to_string(v); },
          [](int64_t v) { return "the integer " + std::to_string(v); },
          [](double v) { return "the float " + std::to_string(v); },
          [](bool v) { return std::string(v ? "the bool true" : "the bool false"); },
          [](std::string_view v) { return "the string " + quote_foreign(v); },
          [](const MetaArray& v) { return "an array of " + std::to_string(v.count) + " values"; },
      },
      value);
}

std::string key_text(const std::string& source, std::string_view key) {
  return source + (source.empty() ? "" : ": ") + "key " + quote_foreign(key) + ": ";
}

std::unexpected<Error> wrong(const std::string& source, std::string_view key,
                             const std::string& found, const std::string& expected) {
  return fail(ErrorCode::kMalformed, key_text(source, key) + found + ", expected " + expected,
              std::string(key));
}

std::unexpected<Error> missing(const std::string& source, std::string_view key,
                               const std::string& expected) {
  return wrong(source, key, "absent", expected);
}

/// `value` as To if it is an integer that fits; for floats also if it is a float in range.
template <typename To>
std::optional<To> number_as(const MetaValue& value) {
  const auto from_integer = [](auto v) -> std::optional<To> {
    if constexpr (std::is_floating_point_v<To>) {
      return static_cast<To>(v);
    } else {
      if (!std::in_range<To>(v)) return std::nullopt;
      return static_cast<To>(v);
    }
  };
  if (const auto* v = std::get_if<uint64_t>(&value)) return from_integer(*v);
  if (const auto* v = std::get_if<int64_t>(&value)) return from_integer(*v);
  if constexpr (std::is_floating_point_v<To>) {
    if (const auto* v = std::get_if<double>(&value)) {
      // A finite double beyond float's range has no float; infinities and NaN have.
      if (std::isfinite(*v) && std::fabs(*v) > std::numeric_limits<To>::max()) return std::nullopt;
      return static_cast<To>(*v);
    }
  }
  return std::nullopt;
}

template <typename T>
MetaValue load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  if constexpr (std::is_floating_point_v<T>)
    return MetaValue(static_cast<double>(value));
  else if constexpr (std::is_signed_v<T>)
    return MetaValue(static_cast<int64_t>(value));
  else
    return MetaValue(static_cast<uint64_t>(value));
}

/// Size in bytes and reader of a numeric element; {0, nullptr} for other types.
struct NumberReader {
  size_t bytes = 0;
  MetaValue (*read)(const std::byte*) = nullptr;
};

NumberReader number_reader(MetaType type) {
  switch (type) {
    case MetaType::kU8:
      return {1, load<uint8_t>};
    case MetaType::kI8:
      return {1, load<int8_t>};
    case MetaType::kU16:
      return {2, load<uint16_t>};
    case MetaType::kI16:
      return {2, load<int16_t>};
    case MetaType::kU32:
      return {4, load<uint32_t>};
    case MetaType::kI32:
      return {4, load<int32_t>};
    case MetaType::kF32:
      return {4, load<float>};
    case MetaType::kU64:
      return {8, load<uint64_t>};
    case MetaType::kI64:
      return {8, load<int64_t>};
    case MetaType::kF64:
      return {8, load<double>};
    case MetaType::kBool:
    case MetaType::kString:
    case MetaType::kArray:
      break;
  }
  return {};
}

template <typename T>
Result<std::vector<T>> numbers(const std::string& source, std::string_view key,
                               const MetaValue* value, const char* expected) {
  if (value == nullptr) return missing(source, key, expected);
  const auto* array = std::get_if<MetaArray>(value);
  if (array == nullptr) return wrong(source, key, describe(*value), expected);
  const NumberReader reader = number_reader(array->element_type);
  if (reader.read == nullptr)
    return wrong(
        source, key,
        "an array of element type " + std::to_string(static_cast<uint32_t>(array->element_type)),
        expected);
  std::vector<T> out;
  out.reserve(array->count);
  for (uint64_t i = 0; i < array->count; ++i) {
    const MetaValue element = reader.read(array->bytes.data() + i * reader.bytes);
    const auto number = number_as<T>(element);
    if (!number)
      return wrong(source, key, "element " + std::to_string(i) + " is " + describe(element),
                   expected);
    out.push_back(*number);
  }
  return out;
}

}  // namespace

bool Metadata::contains(std::string_view key) const { return entries_.contains(key); }

const MetaValue* Metadata::find(std::string_view key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second;
}

bool Metadata::insert(std::string_view key, MetaValue value) {
  return entries_.emplace(key, value).second;
}

std::string_view Metadata::keep(std::string text) {
  return *owned_.emplace_back(std::make_unique<std::string>(std::move(text)));
}

Result<uint32_t> Metadata::u32(std::string_view key) const {
  const std::string expected = "an integer from 0 to 4294967295";
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(source_, key, expected);
  const auto number = number_as<uint32_t>(*value);
  if (!number) return wrong(source_, key, describe(*value), expected);
  return *number;
}

Result<float> Metadata::f32(std::string_view key) const {
  const std::string expected = "a number in the range of a 32-bit float";
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(source_, key, expected);
  const auto number = number_as<float>(*value);
  if (!number) return wrong(source_, key, describe(*value), expected);
  return *number;
}

Result<std::string_view> Metadata::string(std::string_view key) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(source_, key, "a string");
  const auto* text = std::get_if<std::string_view>(value);
  if (text == nullptr) return wrong(source_, key, describe(*value), "a string");
  return *text;
}

Result<uint32_t> Metadata::u32_or(std::string_view key, uint32_t fallback) const {
  if (!contains(key)) return fallback;
  return u32(key);
}

Result<float> Metadata::f32_or(std::string_view key, float fallback) const {
  if (!contains(key)) return fallback;
  return f32(key);
}

Result<bool> Metadata::bool_or(std::string_view key, bool fallback) const {
  const MetaValue* value = find(key);
  if (value == nullptr) return fallback;
  const auto* flag = std::get_if<bool>(value);
  if (flag == nullptr) return wrong(source_, key, describe(*value), "a bool");
  return *flag;
}

Result<std::string_view> Metadata::string_or(std::string_view key,
                                             std::string_view fallback) const {
  if (!contains(key)) return fallback;
  return string(key);
}

Result<std::vector<std::string_view>> Metadata::strings(std::string_view key) const {
  const std::string expected = "an array of strings";
  const MetaValue* value = find(key);
  if (value == nullptr) return missing(source_, key, expected);
  const auto* array = std::get_if<MetaArray>(value);
  if (array == nullptr || array->element_type != MetaType::kString)
    return wrong(source_, key, describe(*value), expected);
  std::vector<std::string_view> out;
  out.reserve(array->count);
  const auto* at = reinterpret_cast<const char*>(array->bytes.data());
  for (uint64_t i = 0; i < array->count; ++i) {
    uint64_t length = 0;  // within the span: the parser walked all strings
    std::memcpy(&length, at, sizeof(length));
    out.emplace_back(at + sizeof(length), length);
    at += sizeof(length) + length;
  }
  return out;
}

Result<std::vector<int32_t>> Metadata::i32s(std::string_view key) const {
  return numbers<int32_t>(source_, key, find(key), "an array of 32-bit integers");
}

Result<std::vector<float>> Metadata::f32s(std::string_view key) const {
  return numbers<float>(source_, key, find(key), "an array of 32-bit floats");
}

namespace {

/// All of `text` as a T, or nothing.
template <typename T>
std::optional<MetaValue> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return MetaValue(value);
}

std::optional<MetaValue> parse_bool(std::string_view text) {
  if (text == "true") return MetaValue(true);
  if (text == "false") return MetaValue(false);
  return std::nullopt;
}

}  // namespace

Status Metadata::override_value(std::string_view key, std::string_view value) {
  const auto it = entries_.find(key);
  const auto refuse = [&](const char* expected) {
    return fail(ErrorCode::kInvalidArgument,
                "override of key " + quote_foreign(key) + ": " + quote_foreign(value) +
                    ", expected " + expected,
                std::string(key));
  };
  if (key.empty()) return refuse("a key");
  const auto own = [&](std::string_view text) { return keep(std::string(text)); };
  if (it == entries_.end()) {
    entries_.emplace(own(key), MetaValue(own(value)));
    return {};
  }
  std::optional<MetaValue> parsed;
  const char* expected = "";
  if (std::holds_alternative<std::string_view>(it->second)) {
    parsed = MetaValue(own(value));
  } else if (std::holds_alternative<uint64_t>(it->second)) {
    parsed = parse_number<uint64_t>(value);
    expected = "an integer that is not negative, as the file has";
  } else if (std::holds_alternative<int64_t>(it->second)) {
    parsed = parse_number<int64_t>(value);
    expected = "an integer, as the file has";
  } else if (std::holds_alternative<double>(it->second)) {
    parsed = parse_number<double>(value);
    expected = "a number, as the file has";
  } else if (std::holds_alternative<bool>(it->second)) {
    parsed = parse_bool(value);
    expected = "true or false, as the file has";
  } else {
    expected = "a key that is not an array: arrays cannot be overridden";
  }
  if (!parsed) return refuse(expected);
  it->second = *parsed;
  return {};
}

}  // namespace hearth
