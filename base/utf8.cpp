#include "base/utf8.h"

namespace hearth {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/// Length that the lead byte announces; 0 if it cannot lead a character (RFC 3629 section 4).
size_t announced_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

/// The second byte is restricted further after E0, ED, F0 and F4 (overlong forms, surrogates,
/// range).
bool second_byte_fits(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return is_continuation(second);
  }
}

/// Bytes at the start of invalid `text` that one U+FFFD stands for: as many as begin a character,
/// at least one (Unicode 15, section 3.9, U+FFFD substitution of maximal subparts).
size_t maximal_subpart(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t announced = announced_length(byte(0));
  if (announced < 2 || text.size() < 2 || !second_byte_fits(byte(0), byte(1))) return 1;
  size_t length = 2;
  while (length < announced && length < text.size() && is_continuation(byte(length))) ++length;
  return length;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = announced_length(byte(0));
  if (length == 1) return {byte(0), 1, true};
  if (length == 0 || text.size() < length || !second_byte_fits(byte(0), byte(1)))
    return {kReplacement, 1, false};
  char32_t code_point = byte(0) & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if (!is_continuation(byte(i))) return {kReplacement, 1, false};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {code_point, static_cast<uint8_t>(length), true};
}

void append_utf8(std::string& out, char32_t code_point) {
  if (code_point < 0x80) {
    out.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | code_point >> 6));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else if (code_point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | code_point >> 12));
    out.push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | code_point >> 18));
    out.push_back(static_cast<char>(0x80 | (code_point >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
  }
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    if (!c.valid) return false;
    text.remove_prefix(c.length);
  }
  return true;
}

size_t incomplete_utf8_suffix(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto lead = static_cast<unsigned char>(text[text.size() - back]);
    if (is_continuation(lead)) continue;
    const size_t length = announced_length(lead);
    if (length <= back) return 0;
    const bool fits =
        back == 1 ||
        second_byte_fits(lead, static_cast<unsigned char>(text[text.size() - back + 1]));
    return fits ? back : 0;
  }
  return 0;
}

std::string sanitize_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    size_t length = c.length;
    if (c.valid) {
      out.append(text.substr(0, length));
    } else {
      append_utf8(out, kReplacement);
      length = maximal_subpart(text);
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace hearth
