#include "server/chat/string_literal.h"

#include <cstdint>

#include "base/utf8.h"

namespace hearth::jinja {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Reads `digits` hexadecimal digits at `at`; -1 if they are not there.
int64_t read_hex(std::string_view body, size_t at, int digits) {
  int64_t value = 0;
  for (int i = 0; i < digits; ++i) {
    int digit = at + static_cast<size_t>(i) < body.size() ? hex_digit(body[at + i]) : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/// A pair of \u escapes that are UTF-16 surrogates is one character; a lone one is U+FFFD, since
/// it has no UTF-8 form. Returns bytes consumed after the first escape.
size_t append_code_point(std::string& out, int64_t code, std::string_view rest) {
  if (code >= 0xD800 && code < 0xDC00 && rest.starts_with("\\u")) {
    int64_t low = read_hex(rest, 2, 4);
    if (low >= 0xDC00 && low < 0xE000) {
      append_utf8(out, static_cast<char32_t>(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)));
      return 6;
    }
  }
  bool surrogate = code >= 0xD800 && code < 0xE000;
  append_utf8(out, surrogate ? U'\uFFFD' : static_cast<char32_t>(code));
  return 0;
}

/// The character of a one-letter escape, or 0.
char simple_escape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return 0;
  }
}

}  // namespace

std::string unescape_literal(std::string_view body, std::string& out) {
  size_t i = 0;
  while (i < body.size()) {
    char c = body[i];
    if (c != '\\' || i + 1 >= body.size()) {
      out += c;
      ++i;
      continue;
    }
    char escape = body[i + 1];
    i += 2;
    if (char simple = simple_escape(escape); simple != 0) {
      out += simple;
    } else if (escape == '\n') {
      // A backslash at the end of a line joins the lines.
    } else if (escape >= '0' && escape <= '7') {
      char32_t code = static_cast<char32_t>(escape - '0');
      for (int n = 0; n < 2 && i < body.size() && body[i] >= '0' && body[i] <= '7'; ++n, ++i) {
        code = code * 8 + static_cast<char32_t>(body[i] - '0');
      }
      append_utf8(out, code);
    } else if (escape == 'x' || escape == 'u' || escape == 'U') {
      int digits = escape == 'x' ? 2 : (escape == 'u' ? 4 : 8);
      int64_t code = read_hex(body, i, digits);
      if (code < 0 || code > 0x10FFFF) {
        return std::string("a string has a malformed \\") + escape + " escape";
      }
      i += static_cast<size_t>(digits);
      i += append_code_point(out, code, body.substr(i));
    } else if (escape == 'N') {
      return "a string has a \\N escape, which is not supported";
    } else {
      out += '\\';
      out += escape;
    }
  }
  return {};
}

}  // namespace hearth::jinja
