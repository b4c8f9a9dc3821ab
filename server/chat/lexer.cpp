#include "server/chat/lexer.h"

#include <array>

#include "base/utf8.h"
#include "server/chat/string_literal.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

/// Line ends become \n, and one at the very end is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : owned_(std::move(source)), source_(owned_) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_data();
    add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw TemplateError(Fault::kSyntax, message, line_);
  }

  void add(TokenType type, std::string value) {
    tokens_.push_back({type, std::move(value), line_});
  }

  /// Moves on by `bytes`, counting lines.
  void advance(size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) line_ += source_[at_ + i] == '\n' ? 1 : 0;
    at_ += bytes;
  }

  [[nodiscard]] char peek(size_t offset = 0) const {
    return at_ + offset < source_.size() ? source_[at_ + offset] : '\0';
  }
  [[nodiscard]] bool follows(std::string_view text, size_t offset = 0) const {
    return at_ + offset <= source_.size() && source_.substr(at_ + offset).starts_with(text);
  }

  void skip_space() {
    while (at_ < source_.size()) {
      Char c = next_char(source_.substr(at_));
      if (!is_space(c.code_point)) return;
      advance(c.bytes);
    }
  }

  /// Text up to the next tag, then the tag.
  void lex_data() {
    size_t begin = at_;
    size_t tag = begin;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
        tag = source_.size();
        break;
      }
      char next = source_[tag + 1];
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    std::string_view text = source_.substr(begin, tag - begin);
    if (tag == source_.size()) {
      emit_data(text);
      advance(text.size());
      return;
    }
    char kind = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    emit_data(strip_before_tag(text, sign, kind != '{', begin));
    advance(text.size());
    if (kind == '#') {
      lex_comment(sign);
    } else if (kind == '%' && lex_raw(sign)) {
      return;
    } else {
      lex_tag(kind, sign);
    }
  }

  void emit_data(std::string_view text) {
    if (!text.empty()) add(TokenType::kData, std::string(text));
  }

  /// What of `text`, which starts at `begin` and ends at a tag, the tag's sign leaves.
  [[nodiscard]] std::string_view strip_before_tag(std::string_view text, char sign, bool lstrip,
                                                  size_t begin) const {
    if (sign == '-') {
      while (!text.empty()) {
        size_t bytes = last_char_bytes(text);
        if (!is_space(next_char(text.substr(text.size() - bytes)).code_point)) break;
        text.remove_suffix(bytes);
      }
      return text;
    }
    if (sign == '+' || !lstrip) return text;
    // lstrip_blocks: blanks between the start of the line and the tag go.
    size_t newline = text.rfind('\n');
    size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_begin == 0 && begin != 0 && source_[begin - 1] != '\n') return text;
    std::string_view indent = text.substr(line_begin);
    while (!indent.empty()) {
      Char c = next_char(indent);
      if (!is_space(c.code_point)) return text;
      indent.remove_prefix(c.bytes);
    }
    return text.substr(0, line_begin);
  }

  /// After a closing tag: '-' takes all white space, else blocks take one newline (trim_blocks).
  void strip_after_tag(char sign) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && peek() == '\n') {
      advance(1);
    }
  }

  void lex_comment(char sign) {
    size_t end = source_.find("#}", at_ + 2 + (sign != '\0' ? 1 : 0));
    if (end == std::string_view::npos) fail("Missing end of comment tag");
    char end_sign = source_[end - 1] == '-' || source_[end - 1] == '+' ? source_[end - 1] : '\0';
    advance(end + 2 - at_);
    strip_after_tag(end_sign);
  }

  /// {% raw %} … {% endraw %}. False if the tag at the cursor is another one.
  bool lex_raw(char sign) {
    size_t at = skip_blanks(at_ + 2 + (sign != '\0' ? 1 : 0));
    if (!source_.substr(at).starts_with("raw")) return false;
    at = skip_blanks(at + 3);
    bool strip = source_.substr(at).starts_with("-%}");
    if (!strip && !source_.substr(at).starts_with("%}")) return false;
    advance(at + (strip ? 3 : 2) - at_);
    if (strip) skip_space();
    size_t begin = at_;
    for (size_t tag = source_.find("{%", begin); tag != std::string_view::npos;
         tag = source_.find("{%", tag + 1)) {
      char end_sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (end_sign != '-' && end_sign != '+') end_sign = '\0';
      at = skip_blanks(tag + 2 + (end_sign != '\0' ? 1 : 0));
      if (!source_.substr(at).starts_with("endraw")) continue;
      at = skip_blanks(at + 6);
      char close =
          at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
      if (!source_.substr(at + (close != '\0' ? 1 : 0)).starts_with("%}")) continue;
      emit_data(strip_before_tag(source_.substr(begin, tag - begin), end_sign, true, begin));
      advance(at + (close != '\0' ? 3 : 2) - at_);
      strip_after_tag(close);
      return true;
    }
    fail("Missing end of raw directive");
  }

  [[nodiscard]] size_t skip_blanks(size_t at) const {
    while (at < source_.size() && is_space(static_cast<unsigned char>(source_[at]))) ++at;
    return at;
  }

  /// {{ … }} or {% … %}.
  void lex_tag(char kind, char sign) {
    bool block = kind == '%';
    add(block ? TokenType::kBlockBegin : TokenType::kPrintBegin, "");
    advance(sign != '\0' ? 3 : 2);
    std::string_view end = block ? "%}" : "}}";
    std::string brackets;  // open ones: inside them }} is not an end
    while (true) {
      skip_space();
      if (at_ >= source_.size()) {
        fail(std::string("unexpected end of template, expected '") + std::string(end) + "'");
      }
      if (brackets.empty()) {
        bool signed_end = (peek() == '-' || (block && peek() == '+')) && follows(end, 1);
        if (signed_end || follows(end)) {
          char end_sign = signed_end ? peek() : '\0';
          add(block ? TokenType::kBlockEnd : TokenType::kPrintEnd, "");
          advance(signed_end ? 3 : 2);
          if (block || end_sign == '-') strip_after_tag(end_sign);
          return;
        }
      }
      lex_expression_token(brackets);
    }
  }

  void lex_expression_token(std::string& brackets) {
    char c = peek();
    if (is_ascii_digit(c)) return lex_number();
    if (c == '"' || c == '\'') return lex_string(c);
    Char first = next_char(source_.substr(at_));
    if (c == '_' || is_alnum(first.code_point)) return lex_name();
    lex_operator(brackets);
  }

  void lex_name() {
    size_t end = at_;
    while (end < source_.size()) {
      Char c = next_char(source_.substr(end));
      if (c.code_point != '_' && !is_alnum(c.code_point)) break;
      end += c.bytes;
    }
    add(TokenType::kName, std::string(source_.substr(at_, end - at_)));
    advance(end - at_);
  }

  /// The end of digits of `base` with single underscores between them, from `at`.
  [[nodiscard]] size_t digits_end(size_t at, int base) const {
    auto is_digit_here = [&](size_t i) {
      if (i >= source_.size()) return false;
      char c = source_[i];
      if (is_ascii_digit(c)) return c - '0' < base;
      return base == 16 && (c | 0x20) >= 'a' && (c | 0x20) <= 'f';
    };
    while (is_digit_here(at) ||
           (at < source_.size() && source_[at] == '_' && is_digit_here(at + 1))) {
      ++at;
    }
    return at;
  }

  void lex_number() {
    size_t begin = at_;
    int base = 10;
    if (peek() == '0') {
      char prefix = static_cast<char>(peek(1) | 0x20);
      base = prefix == 'x' ? 16 : (prefix == 'o' ? 8 : (prefix == 'b' ? 2 : 10));
    }
    size_t end = base == 10 ? digits_end(begin, 10) : digits_end(begin + 2, base);
    if (base != 10 && end == begin + 2) fail("invalid number literal");
    bool is_float = false;
    // x.0.1 is two subscripts, not x followed by 0.1.
    bool after_dot = begin > 0 && source_[begin - 1] == '.';
    if (base == 10 && !after_dot) {
      size_t fraction = end < source_.size() && source_[end] == '.' ? digits_end(end + 1, 10) : end;
      if (fraction > end + 1) {
        end = fraction;
        is_float = true;
      }
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
          ++exponent;
        }
        if (size_t exponent_end = digits_end(exponent, 10); exponent_end > exponent) {
          end = exponent_end;
          is_float = true;
        }
      }
    }
    std::string value(source_.substr(begin, end - begin));
    std::erase(value, '_');
    add(is_float ? TokenType::kFloat : TokenType::kInteger, std::move(value));
    advance(end - begin);
  }

  void lex_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail("a string is not closed");
    std::string value;
    std::string error = unescape_literal(source_.substr(at_ + 1, end - at_ - 1), value);
    if (!error.empty()) fail(error);
    add(TokenType::kString, std::move(value));
    advance(end + 1 - at_);
  }

  void lex_operator(std::string& brackets) {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (std::string_view op : kOperators) {
      if (!follows(op)) continue;
      track_brackets(op[0], brackets);
      add(TokenType::kOperator, std::string(op));
      advance(op.size());
      return;
    }
    fail("unexpected char '" +
         std::string(source_.substr(at_, next_char(source_.substr(at_)).bytes)) + "'");
  }

  void track_brackets(char c, std::string& brackets) const {
    if (c == '(') brackets += ')';
    if (c == '[') brackets += ']';
    if (c == '{') brackets += '}';
    if (c != ')' && c != ']' && c != '}') return;
    if (brackets.empty()) fail(std::string("unexpected '") + c + "'");
    if (brackets.back() != c) {
      fail(std::string("unexpected '") + c + "', expected '" + brackets.back() + "'");
    }
    brackets.pop_back();
  }

  std::string owned_;
  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    throw TemplateError(Fault::kLimit, "the template has " + std::to_string(source.size()) +
                                           " bytes, at most " + std::to_string(kMaxTemplateBytes) +
                                           " are allowed");
  }
  if (!is_valid_utf8(source)) {
    throw TemplateError(Fault::kSyntax, "the template is not valid UTF-8");
  }
  return Lexer(normalize_newlines(source)).run();
}

}  // namespace hearth::jinja
