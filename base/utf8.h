#pragma once
// UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, at most U+10FFFF.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

struct Utf8Char {
  char32_t code_point;  // U+FFFD if the bytes are not valid
  uint8_t length;       // bytes consumed, 1 to 4; 1 for an invalid byte
  bool valid;
};

/// Decodes the character at the start of `text`, which must not be empty.
Utf8Char decode_utf8(std::string_view text);

/// Appends the UTF-8 form of `code_point` (at most U+10FFFF) to `out`.
void append_utf8(std::string& out, char32_t code_point);

/// True if all of `text` is valid UTF-8.
bool is_valid_utf8(std::string_view text);

/// Bytes at the end of `text` that begin a character which may still be completed: 0 to 3.
size_t incomplete_utf8_suffix(std::string_view text);

/// `text` with U+FFFD for each maximal subpart that is no character (Unicode 15, section 3.9): the
/// same whether it is sanitized at once or in pieces that end where a character does.
std::string sanitize_utf8(std::string_view text);

}  // namespace hearth
