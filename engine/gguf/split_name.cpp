#include "engine/gguf/split_name.h"

#include <charconv>

namespace hearth {
namespace {

constexpr size_t kDigits = 5;

std::optional<uint32_t> parse_digits(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string padded(uint32_t value) {
  std::string digits = std::to_string(value);
  if (digits.size() < kDigits) digits.insert(0, kDigits - digits.size(), '0');
  return digits;
}

}  // namespace

std::optional<SplitName> parse_split_name(std::string_view file_name) {
  constexpr std::string_view kMiddle = "-of-";
  constexpr std::string_view kEnd = ".gguf";
  constexpr size_t kSuffix = 1 + kDigits + kMiddle.size() + kDigits + kEnd.size();
  if (file_name.size() < kSuffix || !file_name.ends_with(kEnd)) return std::nullopt;
  const std::string_view suffix = file_name.substr(file_name.size() - kSuffix);
  if (suffix[0] != '-' || suffix.substr(1 + kDigits, kMiddle.size()) != kMiddle)
    return std::nullopt;
  const auto number = parse_digits(suffix.substr(1, kDigits));
  const auto count = parse_digits(suffix.substr(1 + kDigits + kMiddle.size(), kDigits));
  if (!number || !count) return std::nullopt;
  return SplitName{std::string(file_name.substr(0, file_name.size() - kSuffix)), *number, *count};
}

std::string split_part_name(std::string_view prefix, uint32_t number, uint32_t count) {
  return std::string(prefix) + "-" + padded(number) + "-of-" + padded(count) + ".gguf";
}

}  // namespace hearth
