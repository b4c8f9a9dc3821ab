#include "engine/tokenizer/byte_level.h"

#include <charconv>

#include "base/utf8.h"

namespace hearth {

namespace {

bool is_visible_latin1(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kAlphabetEnd = 0x100 + 68;  // 188 bytes are visible, 68 are not

}  // namespace

const std::array<char32_t, 256>& byte_level_alphabet() {
  static const std::array<char32_t, 256> alphabet = [] {
    std::array<char32_t, 256> out{};
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      out[static_cast<size_t>(byte)] =
          is_visible_latin1(byte) ? static_cast<char32_t>(byte) : next++;
    }
    return out;
  }();
  return alphabet;
}

void append_byte_level(std::string& out, std::string_view bytes) {
  const auto& alphabet = byte_level_alphabet();
  for (const char c : bytes) append_utf8(out, alphabet[static_cast<uint8_t>(c)]);
}

std::string from_byte_level(std::string_view text) {
  static const std::array<int16_t, kAlphabetEnd> bytes = [] {
    std::array<int16_t, kAlphabetEnd> out;
    out.fill(-1);
    for (int16_t byte = 0; byte < 256; ++byte) {
      out[byte_level_alphabet()[static_cast<size_t>(byte)]] = byte;
    }
    return out;
  }();
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    if (c.valid && c.code_point < kAlphabetEnd && bytes[c.code_point] >= 0) {
      out.push_back(static_cast<char>(bytes[c.code_point]));
    } else {
      out.append(text.substr(0, c.length));
    }
    text.remove_prefix(c.length);
  }
  return out;
}

int byte_token_value(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = -1;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  return error == std::errc() && end == text.data() + 5 ? value : -1;
}

}  // namespace hearth
