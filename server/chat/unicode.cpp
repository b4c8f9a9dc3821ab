#include "server/chat/unicode.h"

#include <algorithm>

#include "base/utf8.h"

namespace hearth::jinja {
namespace {

using namespace unicode_tables;

template <typename Range>
const Range* find_range(std::span<const Range> ranges, char32_t c) {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                [](char32_t x, const Range& range) { return x < range.first; });
  if (after == ranges.begin()) return nullptr;
  const Range* range = &*std::prev(after);
  return c <= range->last && (c - range->first) % range->stride == 0 ? range : nullptr;
}

void append_mapped(std::string& out, char32_t c, std::span<const CaseRange> ranges,
                   std::span<const SpecialCase> specials) {
  if (const CaseRange* range = find_range(ranges, c)) {
    append_utf8(out, static_cast<char32_t>(static_cast<int32_t>(c) + range->distance));
    return;
  }
  auto special = std::lower_bound(specials.begin(), specials.end(), c,
                                  [](const SpecialCase& s, char32_t x) { return s.from < x; });
  if (special == specials.end() || special->from != c) {
    append_utf8(out, c);
    return;
  }
  for (uint32_t to : special->to) {
    if (to != 0) append_utf8(out, to);
  }
}

/// Calls convert(out, character) for the characters of `text`; invalid bytes stay as they are.
template <typename Convert>
std::string map_chars(std::string_view text, Convert convert) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    Utf8Char c = decode_utf8(text);
    if (c.valid) {
      convert(out, c.code_point);
    } else {
      out += text[0];
    }
    text.remove_prefix(c.length);
  }
  return out;
}

}  // namespace

bool is_printable(char32_t c) {
  if (c < 0x7f) return c >= 0x20;
  return find_range(kNotPrintable, c) == nullptr;
}
bool is_alpha(char32_t c) {
  if (c < 0x80) return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  return find_range(kAlpha, c) != nullptr;
}
bool is_decimal(char32_t c) { return find_range(kDecimal, c) != nullptr; }
bool is_digit(char32_t c) { return find_range(kDigit, c) != nullptr; }
bool is_numeric(char32_t c) { return find_range(kNumeric, c) != nullptr; }
bool is_alnum(char32_t c) { return is_alpha(c) || is_numeric(c); }
bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
  return find_range(kSpace, c) != nullptr;
}
bool is_upper(char32_t c) { return find_range(kUpper, c) != nullptr; }
bool is_lower(char32_t c) { return find_range(kLower, c) != nullptr; }
bool is_cased(char32_t c) {
  // Title-case letters such as U+01C5 are cased without being upper or lower.
  return is_upper(c) || is_lower(c) || find_range(kToLower, c) != nullptr ||
         find_range(kToUpper, c) != nullptr;
}
bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

void append_lower(std::string& out, char32_t c) {
  append_mapped(out, c, kToLower, kToLowerSpecial);
}
void append_upper(std::string& out, char32_t c) {
  append_mapped(out, c, kToUpper, kToUpperSpecial);
}
void append_title(std::string& out, char32_t c) {
  append_mapped(out, c, kToTitle, kToTitleSpecial);
}

std::string to_lower(std::string_view text) { return map_chars(text, append_lower); }
std::string to_upper(std::string_view text) { return map_chars(text, append_upper); }

size_t count_chars(std::string_view text) {
  size_t count = 0;
  while (!text.empty()) {
    // ASCII runs are counted without decoding.
    size_t run = 0;
    while (run < text.size() && static_cast<unsigned char>(text[run]) < 0x80) ++run;
    count += run;
    text.remove_prefix(run);
    if (text.empty()) break;
    text.remove_prefix(decode_utf8(text).length);
    ++count;
  }
  return count;
}

size_t bytes_of_chars(std::string_view text, size_t chars) {
  size_t at = 0;
  while (chars > 0 && at < text.size()) {
    at += static_cast<unsigned char>(text[at]) < 0x80 ? 1 : decode_utf8(text.substr(at)).length;
    --chars;
  }
  return at;
}

Char next_char(std::string_view text) {
  Utf8Char c = decode_utf8(text);
  return {c.code_point, c.length};
}

size_t last_char_bytes(std::string_view text) {
  // A character has at most four bytes; the longest suffix that decodes whole is the last one.
  for (size_t bytes = std::min<size_t>(4, text.size()); bytes > 1; --bytes) {
    Utf8Char c = decode_utf8(text.substr(text.size() - bytes));
    if (c.valid && c.length == bytes) return bytes;
  }
  return 1;
}

}  // namespace hearth::jinja
