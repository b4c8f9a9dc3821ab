#include "engine/safetensors/json_reader.h"

#include <charconv>

#include "base/utf8.h"
#include "engine/gguf/quote.h"

namespace hearth {

void JsonReader::skip_blanks() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
}

std::unexpected<Error> JsonReader::wrong(const std::string& found, const char* expected) const {
  return fail(ErrorCode::kMalformed,
              file_ + ": " + (path_.empty() ? "the file" : quote_foreign(path_)) + ": " + found +
                  ", expected " + expected,
              path_);
}

std::unexpected<Error> JsonReader::malformed(const char* expected) const {
  const std::string found =
      at_ < text_.size() ? quote_foreign(text_.substr(at_, 1)) : std::string("the end");
  return wrong(found + " at byte " + std::to_string(at_), expected);
}

JsonReader::Kind JsonReader::peek() {
  skip_blanks();
  if (at_ == text_.size()) return Kind::kOther;
  switch (text_[at_]) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
    case 'f':
      return Kind::kBool;
    case 'n':
      return Kind::kNull;
    default:
      return text_[at_] == '-' || (text_[at_] >= '0' && text_[at_] <= '9') ? Kind::kNumber
                                                                           : Kind::kOther;
  }
}

Status JsonReader::open(char bracket, const char* expected) {
  skip_blanks();
  if (at_ == text_.size() || text_[at_] != bracket) return malformed(expected);
  if (++depth_ > kMaxDepth) return malformed("at most 64 levels of nesting");
  ++at_;
  return {};
}

/// True before a further member or element; false after the closing bracket.
Result<bool> JsonReader::next_item(char bracket, bool first) {
  skip_blanks();
  if (at_ < text_.size() && text_[at_] == bracket) {
    ++at_;
    return false;
  }
  if (first) return true;
  if (at_ == text_.size() || text_[at_] != ',') return malformed("',' or the closing bracket");
  ++at_;
  return true;
}

Result<std::string_view> JsonReader::read_key() {
  if (peek() != Kind::kString) return malformed("a member's name");
  HEARTH_ASSIGN_OR_RETURN(const std::string_view key, read_string(key_buffer_));
  skip_blanks();
  if (at_ == text_.size() || text_[at_] != ':') return malformed("':'");
  ++at_;
  return key;
}

Result<std::string_view> JsonReader::string() {
  if (peek() != Kind::kString) return malformed("a string");
  return read_string(buffer_);
}

Result<std::string_view> JsonReader::read_string(std::string& buffer) {
  const size_t begin = ++at_;
  const auto ends = [this] {
    return at_ == text_.size() || text_[at_] == '"' || text_[at_] == '\\' ||
           static_cast<uint8_t>(text_[at_]) < 0x20;
  };
  while (!ends()) ++at_;
  if (at_ < text_.size() && text_[at_] == '"') {
    const std::string_view view = text_.substr(begin, at_ - begin);
    ++at_;
    if (!is_valid_utf8(view)) return wrong("a string that is not UTF-8", "UTF-8");
    return view;
  }
  buffer.assign(text_.substr(begin, at_ - begin));
  while (at_ < text_.size() && text_[at_] == '\\') {
    HEARTH_RETURN_IF_ERROR(unescape(buffer));
    const size_t run = at_;
    while (!ends()) ++at_;
    buffer.append(text_.substr(run, at_ - run));
  }
  if (at_ == text_.size() || text_[at_] != '"') return malformed("the string's closing quote");
  ++at_;
  if (!is_valid_utf8(buffer)) return wrong("a string that is not UTF-8", "UTF-8");
  return std::string_view(buffer);
}

Result<char32_t> JsonReader::read_hex4() {
  uint32_t value = 0;
  const std::string_view digits = text_.substr(at_, 4);
  const auto [last, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 4 || error != std::errc() || last != digits.data() + 4)
    return malformed("four hexadecimal digits");
  at_ += 4;
  return static_cast<char32_t>(value);
}

/// Appends what the escape at the current backslash stands for.
Status JsonReader::unescape(std::string& buffer) {
  constexpr std::string_view kFrom = "\"\\/bfnrt";
  constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
  ++at_;
  if (at_ == text_.size()) return malformed("an escape");
  const char kind = text_[at_];
  if (const size_t simple = kFrom.find(kind); simple != std::string_view::npos) {
    buffer += kTo[simple];
    ++at_;
    return {};
  }
  if (kind != 'u') return malformed("an escape");
  ++at_;
  HEARTH_ASSIGN_OR_RETURN(char32_t code, read_hex4());
  if (code >= 0xDC00 && code <= 0xDFFF) return malformed("no second half of a surrogate pair");
  if (code >= 0xD800 && code <= 0xDBFF) {
    if (text_.substr(at_, 2) != "\\u") return malformed("the second half of a surrogate pair");
    at_ += 2;
    HEARTH_ASSIGN_OR_RETURN(const char32_t low, read_hex4());
    if (low < 0xDC00 || low > 0xDFFF) return malformed("the second half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(buffer, code);
  return {};
}

/// Integers stay exact where they fit 64 bits; all else is a double.
Result<MetaValue> JsonReader::number() {
  if (peek() != Kind::kNumber) return malformed("a number");
  const char* const first = text_.data() + at_;
  const char* const last = text_.data() + text_.size();
  const auto is_digit = [&](const char* p) { return p < last && *p >= '0' && *p <= '9'; };
  const auto take_digits = [&](const char*& p) {
    const char* const begin = p;
    while (is_digit(p)) ++p;
    return p > begin;
  };
  // The grammar first: from_chars would also take what JSON does not.
  const char* end = first + (*first == '-' ? 1 : 0);
  const bool leading_zero = end < last && *end == '0' && is_digit(end + 1);
  bool is_sound = take_digits(end) && !leading_zero;
  bool is_whole = true;
  if (end < last && *end == '.') {
    is_whole = false;
    is_sound = take_digits(++end) && is_sound;
  }
  if (end < last && (*end == 'e' || *end == 'E')) {
    is_whole = false;
    if (++end < last && (*end == '+' || *end == '-')) ++end;
    is_sound = take_digits(end) && is_sound;
  }
  if (!is_sound) return malformed("a number");
  at_ += static_cast<size_t>(end - first);
  if (is_whole) {
    uint64_t positive = 0;
    int64_t negative = 0;
    if (*first == '-') {
      if (std::from_chars(first, end, negative).ec == std::errc()) return MetaValue(negative);
    } else if (std::from_chars(first, end, positive).ec == std::errc()) {
      return MetaValue(positive);
    }
  }
  double real = 0.0;
  if (std::from_chars(first, end, real).ec != std::errc())
    return wrong(quote_foreign({first, static_cast<size_t>(end - first)}),
                 "a number that a double can hold");
  return MetaValue(real);
}

Result<uint64_t> JsonReader::u64() {
  HEARTH_ASSIGN_OR_RETURN(const MetaValue value, number());
  if (const auto* whole = std::get_if<uint64_t>(&value)) return *whole;
  return wrong("a negative or fractional number", "a whole number from 0");
}

Status JsonReader::expect_word(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return malformed("a value");
  at_ += word.size();
  return {};
}

Result<bool> JsonReader::boolean() {
  if (peek() != Kind::kBool) return malformed("true or false");
  const bool value = text_[at_] == 't';
  HEARTH_RETURN_IF_ERROR(expect_word(value ? "true" : "false"));
  return value;
}

Status JsonReader::skip() {
  switch (peek()) {
    case Kind::kObject:
      return object([this](std::string_view) { return skip(); });
    case Kind::kArray:
      return array([this](size_t) { return skip(); });
    case Kind::kString: {
      HEARTH_ASSIGN_OR_RETURN(std::ignore, string());
      return {};
    }
    case Kind::kNumber: {
      HEARTH_ASSIGN_OR_RETURN(std::ignore, number());
      return {};
    }
    case Kind::kBool: {
      HEARTH_ASSIGN_OR_RETURN(std::ignore, boolean());
      return {};
    }
    case Kind::kNull:
      return expect_word("null");
    case Kind::kOther:
      break;
  }
  return malformed("a value");
}

Status JsonReader::end() {
  skip_blanks();
  return at_ == text_.size() ? Status() : malformed("the end of the file");
}

Status JsonReader::flatten(Metadata& out) {
  const auto put = [&](const std::string& key, MetaValue value) -> Status {
    if (out.entries().size() >= kMaxFlat) return wrong("too many values", "at most 16384");
    if (!out.insert(out.keep(key), value)) return wrong("a second value", "one of each name");
    return {};
  };
  switch (peek()) {
    case Kind::kObject:
      return object([&](std::string_view) { return flatten(out); });
    case Kind::kArray: {
      uint64_t count = 0;
      const std::string key = path_ + "[]";
      HEARTH_RETURN_IF_ERROR(array([&](size_t) {
        ++count;
        return flatten(out);
      }));
      return put(key, MetaValue(count));
    }
    case Kind::kString: {
      HEARTH_ASSIGN_OR_RETURN(const std::string_view text, string());
      return put(path_, MetaValue(out.keep(std::string(text))));
    }
    case Kind::kNumber: {
      HEARTH_ASSIGN_OR_RETURN(const MetaValue value, number());
      return put(path_, value);
    }
    case Kind::kBool: {
      HEARTH_ASSIGN_OR_RETURN(const bool value, boolean());
      return put(path_, MetaValue(value));
    }
    case Kind::kNull:
      return expect_word("null");
    case Kind::kOther:
      break;
  }
  return malformed("a value");
}

}  // namespace hearth
