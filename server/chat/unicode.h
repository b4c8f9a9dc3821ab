#pragma once
// Character properties and case mappings as Python's str methods have them.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hearth::jinja {

bool is_printable(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alnum(char32_t c);
bool is_space(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_cased(char32_t c);
/// Ends a line for str.splitlines.
bool is_line_end(char32_t c);

/// Case conversion of one character into `out` (some become two or three).
void append_lower(std::string& out, char32_t c);
void append_upper(std::string& out, char32_t c);
void append_title(std::string& out, char32_t c);

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

/// Characters of `text`; a byte that is not valid UTF-8 counts as one.
size_t count_chars(std::string_view text);
/// Bytes of the first `chars` characters of `text`, at most all.
size_t bytes_of_chars(std::string_view text, size_t chars);
/// The character at the start of `text` (not empty), and its bytes.
struct Char {
  char32_t code_point;
  uint32_t bytes;
};
Char next_char(std::string_view text);
/// Bytes of the last character of `text` (not empty).
size_t last_char_bytes(std::string_view text);

namespace unicode_tables {
struct CharRange {
  uint32_t first, last, stride;
};
struct CaseRange {
  uint32_t first, last, stride;
  int32_t distance;
};
struct SpecialCase {
  uint32_t from;
  uint32_t to[3];  // zero-filled
};
extern const std::span<const CharRange> kNotPrintable, kAlpha, kDecimal, kDigit, kNumeric, kSpace,
    kUpper, kLower;
extern const std::span<const CaseRange> kToLower, kToUpper, kToTitle;
extern const std::span<const SpecialCase> kToLowerSpecial, kToUpperSpecial, kToTitleSpecial;
}  // namespace unicode_tables

}  // namespace hearth::jinja
