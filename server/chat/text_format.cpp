// "%s" % … and "{}".format(…).

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

constexpr int64_t kMaxPrecision = 1000;  // digits of a formatted number

/// [[fill]align][sign][#][0][width][,][.precision][type]
struct FormatSpec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false;
  char grouping = 0;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

int64_t take_number(std::string_view& text) {
  int64_t value = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    value = value * 10 + (text[0] - '0');
    if (value > (int64_t{1} << 40)) limit_fault("a width of a format is too large");
    text.remove_prefix(1);
  }
  return value;
}

FormatSpec parse_spec(std::string_view text) {
  FormatSpec spec;
  auto take = [&](char c) {
    if (text.empty() || text[0] != c) return false;
    text.remove_prefix(1);
    return true;
  };
  if (!text.empty()) {
    size_t fill = next_char(text).bytes;
    if (text.size() > fill && is_align(text[fill])) {
      spec.fill = text.substr(0, fill);
      spec.align = text[fill];
      text.remove_prefix(fill + 1);
    } else if (is_align(text[0])) {
      spec.align = text[0];
      text.remove_prefix(1);
    }
  }
  for (char sign : {'+', '-', ' '}) {
    if (take(sign)) spec.sign = sign;
  }
  spec.alternate = take('#');
  if (take('0') && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  spec.width = take_number(text);
  for (char grouping : {',', '_'}) {
    if (take(grouping)) spec.grouping = grouping;
  }
  if (take('.')) {
    if (text.empty() || text[0] < '0' || text[0] > '9') {
      runtime_fault("Format specifier missing precision");
    }
    spec.precision = take_number(text);
  }
  if (text.size() > 1) runtime_fault("Invalid format specifier");
  if (!text.empty()) spec.type = text[0];
  return spec;
}

void append_padded(TextBuilder& out, std::string_view text, const FormatSpec& spec, char align) {
  auto length = static_cast<int64_t>(count_chars(text));
  auto missing = static_cast<size_t>(std::max<int64_t>(0, spec.width - length));
  size_t left = align == '>' ? missing : (align == '^' ? missing / 2 : 0);
  out.repeat(spec.fill, left);
  out << text;
  out.repeat(spec.fill, missing - left);
}

std::string group_digits(const std::string& digits, char separator, size_t size) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % size == 0) out += separator;
    out += digits[i];
  }
  return out;
}

/// A number's sign and digits, padded; `=` pads between the two.
void append_number(TextBuilder& out, bool negative, std::string digits, const FormatSpec& spec) {
  std::string sign;
  if (negative) sign.push_back('-');
  if (!negative && spec.sign != '-') sign.push_back(spec.sign);
  if (spec.align == '=') {
    auto missing = spec.width - static_cast<int64_t>(sign.size() + digits.size());
    out << sign;
    if (missing > 0) out.repeat(spec.fill, static_cast<size_t>(missing));
    out << digits;
    return;
  }
  append_padded(out, sign + digits, spec, spec.align == 0 ? '>' : spec.align);
}

std::string integer_digits(const BigInt& value, char type, bool alternate) {
  BigInt magnitude = value.negative() ? value.negated() : value;
  if (type == 'd') return magnitude.to_string();
  int64_t base = type == 'b' ? 2 : (type == 'o' ? 8 : 16);
  std::string out;
  auto small = magnitude.to_int64();
  if (!small) limit_fault("an integer is too large to be formatted in this base");
  for (int64_t rest = *small; rest != 0 || out.empty(); rest /= base) {
    out += (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[rest % base];
  }
  std::reverse(out.begin(), out.end());
  if (!alternate) return out;
  std::string prefixed = "0";
  prefixed += type;
  prefixed += out;
  return prefixed;
}

std::string printf_float(double value, char type, int64_t precision) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return "inf";
  if (precision > kMaxPrecision) limit_fault("a precision of a format is too large");
  char form[] = {'%', '.', '*', type, '\0'};
  char buffer[1400];  // 309 digits before the point and kMaxPrecision after it
  int size = std::snprintf(buffer, sizeof(buffer), form, static_cast<int>(precision), value);
  return {buffer, static_cast<size_t>(size)};
}

void format_integer(TextBuilder& out, const Value& value, const FormatSpec& spec) {
  BigInt number = to_big(value);
  char type = spec.type == 0 || spec.type == 'n' ? 'd' : spec.type;
  if (type == 'c') {
    auto code = number.to_int64();
    if (!code || *code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
      runtime_fault("%c arg not in range(0x110000)");
    }
    std::string text;
    append_utf8(text, static_cast<char32_t>(*code));
    append_padded(out, text, spec, spec.align == 0 ? '<' : spec.align);
    return;
  }
  std::string digits = integer_digits(number, type, spec.alternate);
  if (spec.grouping != 0) digits = group_digits(digits, spec.grouping, type == 'd' ? 3 : 4);
  append_number(out, number.negative(), std::move(digits), spec);
}

void format_float(TextBuilder& out, double value, const FormatSpec& spec) {
  bool negative = std::signbit(value) && !std::isnan(value);
  double magnitude = std::fabs(value);
  std::string digits;
  if (spec.type == 0 && spec.precision < 0) {
    digits = float_repr(magnitude);
  } else if (spec.type == '%') {
    digits = printf_float(magnitude * 100, 'f', spec.precision < 0 ? 6 : spec.precision);
    digits.push_back('%');
  } else {
    char type = spec.type == 0 || spec.type == 'n' ? 'g' : spec.type;
    digits = printf_float(magnitude, type, spec.precision < 0 ? 6 : spec.precision);
    bool plain = digits.find_first_of(".en") == std::string::npos;
    if (spec.type == 0 && plain) digits += ".0";
  }
  if (spec.grouping != 0) {
    size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
    digits = group_digits(digits.substr(0, whole), spec.grouping, 3) + digits.substr(whole);
  }
  append_number(out, negative, std::move(digits), spec);
}

void format_string(TextBuilder& out, std::string_view text, const FormatSpec& spec) {
  if (spec.type != 0 && spec.type != 's') {
    runtime_fault(std::string("Unknown format code '") + spec.type + "' for object of type 'str'");
  }
  if (spec.precision >= 0) {
    text = text.substr(0, bytes_of_chars(text, static_cast<size_t>(spec.precision)));
  }
  append_padded(out, text, spec, spec.align == 0 || spec.align == '=' ? '<' : spec.align);
}

}  // namespace

void append_format(Interp& interp, TextBuilder& out, const Value& value, std::string_view spec) {
  if (spec.empty()) return append_str(interp, out, value);
  FormatSpec parsed = parse_spec(spec);
  bool float_type =
      std::string_view("eEfFgG%").find(parsed.type) != std::string_view::npos && parsed.type != 0;
  bool integer_type =
      std::string_view("bcdoxX").find(parsed.type) != std::string_view::npos && parsed.type != 0;
  if (value.is_string()) return format_string(out, value.text(), parsed);
  if (value.is(Kind::kFloat) || (value.is_number() && float_type)) {
    if (integer_type || parsed.type == 's') {
      runtime_fault(std::string("Unknown format code '") + parsed.type +
                    "' for object of type 'float'");
    }
    return format_float(out, to_double(value), parsed);
  }
  if (value.is_integral()) {
    if (parsed.type != 0 && !integer_type && parsed.type != 'n') {
      runtime_fault(std::string("Unknown format code '") + parsed.type +
                    "' for object of type 'int'");
    }
    return format_integer(out, value, parsed);
  }
  if (value.is_undefined()) fault_undefined(value);
  runtime_fault(std::string("unsupported format string passed to ") + type_name(value) +
                ".__format__");
}

namespace {

/// What Python takes for a mapping: it may stand unused after the operator %.
bool has_items(const Value& value) {
  return value.is(Kind::kDict) || value.is(Kind::kList) || value.is(Kind::kRange) ||
         value.is_undefined();
}

/// One "%[(name)][flags][width][.precision]type" of a format.
class PercentFormatter {
 public:
  PercentFormatter(Interp& interp, const Value& format, const Value& arguments)
      : interp_(interp), format_(format), arguments_(arguments), out_(interp.budget()) {}

  Value run() {
    std::string_view rest = format_.text();
    while (!rest.empty()) {
      size_t percent = std::min(rest.find('%'), rest.size());
      out_ << rest.substr(0, percent);
      rest.remove_prefix(percent);
      if (!rest.empty()) conversion(rest);
    }
    bool all_used = arguments_.is(Kind::kTuple) ? used_ == arguments_.items().size()
                                                : used_ > 0 || named_ || has_items(arguments_);
    if (!all_used) runtime_fault("not all arguments converted during string formatting");
    return interp_.string(out_.take(), format_.markup());
  }

 private:
  Value next_argument() {
    if (arguments_.is(Kind::kTuple)) {
      if (used_ >= arguments_.items().size()) {
        runtime_fault("not enough arguments for format string");
      }
      return arguments_.items()[used_++];
    }
    if (used_++ > 0) runtime_fault("not enough arguments for format string");
    return arguments_;
  }

  Value named_argument(std::string_view name) {
    if (!arguments_.is(Kind::kDict)) runtime_fault("format requires a mapping");
    named_ = true;
    const Value* value = arguments_.dict().find(name);
    if (value == nullptr) runtime_fault("KeyError: '" + std::string(name) + "'");
    return *value;
  }

  void conversion(std::string_view& rest) {
    interp_.budget().step();
    rest.remove_prefix(1);
    std::optional<Value> named;
    if (rest.starts_with('(')) {
      size_t close = rest.find(')');
      if (close == std::string_view::npos) runtime_fault("incomplete format key");
      named = named_argument(rest.substr(1, close - 1));
      rest.remove_prefix(close + 1);
    }
    FormatSpec spec;
    spec.align = '>';
    bool zero = false;
    while (!rest.empty() && std::string_view("-+ #0").find(rest[0]) != std::string_view::npos) {
      if (rest[0] == '-') spec.align = '<';
      if (rest[0] == '+' || rest[0] == ' ') spec.sign = rest[0];
      if (rest[0] == '#') spec.alternate = true;
      if (rest[0] == '0') zero = true;
      rest.remove_prefix(1);
    }
    spec.width = take_width(rest, &spec);
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      spec.precision = take_width(rest, nullptr);
    }
    if (rest.empty()) runtime_fault("incomplete format");
    spec.type = rest[0];
    rest.remove_prefix(1);
    if (spec.type == '%') {
      out_ << '%';
      return;
    }
    if (zero && spec.align == '>' && spec.type != 's' && spec.type != 'r') {
      spec.align = '=';
      spec.fill = "0";
    }
    convert(named ? *named : next_argument(), spec);
  }

  int64_t take_width(std::string_view& rest, FormatSpec* spec) {
    if (!rest.starts_with('*')) return take_number(rest);
    rest.remove_prefix(1);
    int64_t width = to_index(next_argument(), "* of a format");
    if (width < 0 && spec != nullptr) {
      spec->align = '<';
      width = -width;
    }
    return std::max<int64_t>(0, width);
  }

  void convert(const Value& value, FormatSpec spec) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': {
        bool escape = format_.markup() && !(value.is_string() && value.markup());
        std::string text = spec.type == 's' ? str_of(interp_, value) : repr_of(interp_, value);
        if (escape) text = escape_value(interp_, interp_.string(text)).text();
        spec.type = 's';
        format_string(out_, text, spec);
        return;
      }
      case 'd':
      case 'i':
      case 'u': {
        if (!value.is_number()) {
          runtime_fault(std::string("%d format: a real number is required, not ") +
                        type_name(value));
        }
        spec.type = 'd';
        format_integer(out_, value.is(Kind::kFloat) ? truncated(value.as_real()) : value, spec);
        return;
      }
      case 'x':
      case 'X':
      case 'o':
      case 'c':
        if (spec.type == 'c' && value.is_string()) {
          if (value.string_object().length() != 1) runtime_fault("%c requires int or char");
          spec.type = 's';
          format_string(out_, value.text(), spec);
          return;
        }
        if (!value.is_integral()) {
          runtime_fault(std::string("%") + spec.type + " format: an integer is required, not " +
                        type_name(value));
        }
        format_integer(out_, value, spec);
        return;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        if (value.is_undefined()) fault_undefined(value);
        if (!value.is_number()) {
          runtime_fault(std::string("must be real number, not ") + type_name(value));
        }
        format_float(out_, to_double(value), spec);
        return;
      default:
        runtime_fault(std::string("unsupported format character '") + spec.type + "'");
    }
  }

  Value truncated(double value) {
    auto whole = BigInt::from_double(value);
    if (!whole) runtime_fault("cannot convert float infinity or NaN to integer");
    return interp_.big(std::move(*whole));
  }

  Interp& interp_;
  const Value& format_;
  const Value& arguments_;
  TextBuilder out_;
  size_t used_ = 0;
  bool named_ = false;
};

}  // namespace

Value format_percent(Interp& interp, const Value& text, const Value& arguments) {
  return PercentFormatter(interp, text, arguments).run();
}

}  // namespace hearth::jinja
