#include "server/chat/string_case.h"

#include <unordered_map>

#include "server/chat/bound_args.h"
#include "server/chat/operators.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

/// Case conversion looks every character up in a table.
void charge_case(Interp& interp, const Value& self) {
  interp.budget().step(self.text().size() / 64);
}

void no_arguments(const char* name, const Args& args) { BoundArgs(name, args, {}); }

Value method_upper(Interp& interp, const Value& self, Args& args) {
  no_arguments("upper", args);
  return upper_text(interp, self);
}
Value method_lower(Interp& interp, const Value& self, Args& args) {
  no_arguments("lower", args);
  return lower_text(interp, self);
}
Value method_capitalize(Interp& interp, const Value& self, Args& args) {
  no_arguments("capitalize", args);
  return capitalize_text(interp, self);
}

/// Calls convert(out, character, previous character is cased) for each character.
template <typename Convert>
Value convert_chars(Interp& interp, const Value& self, Convert convert) {
  charge_case(interp, self);
  std::string out;
  bool after_cased = false;
  std::string_view rest = self.text();
  while (!rest.empty()) {
    Char c = next_char(rest);
    convert(out, c.code_point, after_cased);
    after_cased = is_cased(c.code_point);
    rest.remove_prefix(c.bytes);
  }
  return interp.string(std::move(out), self.markup());
}

Value method_title(Interp& interp, const Value& self, Args& args) {
  no_arguments("title", args);
  return convert_chars(interp, self, [](std::string& out, char32_t c, bool after_cased) {
    after_cased ? append_lower(out, c) : append_title(out, c);
  });
}

Value method_swapcase(Interp& interp, const Value& self, Args& args) {
  no_arguments("swapcase", args);
  return convert_chars(interp, self, [](std::string& out, char32_t c, bool) {
    is_upper(c) ? append_lower(out, c) : append_upper(out, c);
  });
}

Value method_casefold(Interp& interp, const Value& self, Args& args) {
  no_arguments("casefold", args);
  return convert_chars(interp, self, [](std::string& out, char32_t c, bool) {
    if (c == 0xdf) {
      out += "ss";  // the one letter of everyday text whose folding is not its lower case
    } else {
      append_lower(out, c);
    }
  });
}

/// True if there is a character and all are in the class.
template <bool (*kClass)(char32_t)>
Value all_chars(Interp& interp, const Value& self, Args& args) {
  no_arguments("is…", args);
  charge_case(interp, self);
  std::string_view rest = self.text();
  bool all = !rest.empty();
  while (all && !rest.empty()) {
    Char c = next_char(rest);
    all = kClass(c.code_point);
    rest.remove_prefix(c.bytes);
  }
  return Value::boolean(all);
}

bool is_ascii(char32_t c) { return c < 0x80; }

Value method_isascii(Interp& interp, const Value& self, Args& args) {
  if (self.text().empty()) return Value::boolean(true);
  return all_chars<is_ascii>(interp, self, args);
}
Value method_isprintable(Interp& interp, const Value& self, Args& args) {
  if (self.text().empty()) return Value::boolean(true);
  return all_chars<is_printable>(interp, self, args);
}
Value method_islower(Interp& interp, const Value& self, Args& args) {
  no_arguments("islower", args);
  charge_case(interp, self);
  return Value::boolean(is_lower_text(self.text()));
}
Value method_isupper(Interp& interp, const Value& self, Args& args) {
  no_arguments("isupper", args);
  charge_case(interp, self);
  return Value::boolean(is_upper_text(self.text()));
}

Value method_istitle(Interp& interp, const Value& self, Args& args) {
  no_arguments("istitle", args);
  charge_case(interp, self);
  bool cased = false;
  bool after_cased = false;
  std::string_view rest = self.text();
  while (!rest.empty()) {
    Char c = next_char(rest);
    rest.remove_prefix(c.bytes);
    bool lower = is_lower(c.code_point);
    bool upper = is_cased(c.code_point) && !lower;
    if ((upper && after_cased) || (lower && !after_cased)) return Value::boolean(false);
    after_cased = upper || lower;
    cased = cased || after_cased;
  }
  return Value::boolean(cased);
}

Value method_isidentifier(Interp& interp, const Value& self, Args& args) {
  no_arguments("isidentifier", args);
  charge_case(interp, self);
  std::string_view rest = self.text();
  bool first = true;
  while (!rest.empty()) {
    Char c = next_char(rest);
    rest.remove_prefix(c.bytes);
    bool ok = c.code_point == '_' || is_alpha(c.code_point) || (!first && is_decimal(c.code_point));
    if (!ok) return Value::boolean(false);
    first = false;
  }
  return Value::boolean(!first);
}

/// `self` with padding of `left` and `right` characters.
Value pad(Interp& interp, const Value& self, int64_t left, int64_t right, std::string_view fill) {
  if (left <= 0 && right <= 0) return self;
  TextBuilder out(interp.budget());
  out.repeat(fill, static_cast<size_t>(std::max<int64_t>(0, left)));
  out << self.text();
  out.repeat(fill, static_cast<size_t>(std::max<int64_t>(0, right)));
  return interp.string(out.take(), self.markup());
}

int64_t missing_width(const Value& self, int64_t width) {
  auto length = static_cast<int64_t>(self.string_object().length());
  return width > length ? width - length : 0;
}

std::string fill_argument(const BoundArgs& bound) {
  if (!bound.has(1)) return " ";
  if (count_chars(bound.text(1)) != 1) {
    runtime_fault("The fill character must be exactly one character long");
  }
  return bound.text(1);
}

Value method_ljust(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("ljust", args, {"width", "fillchar"}, 1);
  return pad(interp, self, 0, missing_width(self, bound.integer(0, 0)), fill_argument(bound));
}
Value method_rjust(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("rjust", args, {"width", "fillchar"}, 1);
  return pad(interp, self, missing_width(self, bound.integer(0, 0)), 0, fill_argument(bound));
}
Value method_center(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("center", args, {"width", "fillchar"}, 1);
  return center_text(interp, self, bound.integer(0, 0), fill_argument(bound));
}

Value method_zfill(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("zfill", args, {"width"}, 1);
  int64_t missing = missing_width(self, bound.integer(0, 0));
  if (missing == 0) return self;
  std::string_view text = self.text();
  TextBuilder out(interp.budget());
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    out << text[0];
    text.remove_prefix(1);
  }
  out.repeat("0", static_cast<size_t>(missing));
  out << text;
  return interp.string(out.take(), self.markup());
}

Value method_expandtabs(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("expandtabs", args, {"tabsize"});
  int64_t size = bound.integer(0, 8);
  charge_case(interp, self);
  TextBuilder out(interp.budget());
  int64_t column = 0;
  std::string_view rest = self.text();
  while (!rest.empty()) {
    size_t bytes = next_char(rest).bytes;
    if (rest[0] == '\t') {
      int64_t blanks = size > 0 ? size - column % size : 0;
      out.repeat(" ", static_cast<size_t>(blanks));
      column += blanks;
    } else {
      out << rest.substr(0, bytes);
      column = rest[0] == '\n' || rest[0] == '\r' ? 0 : column + 1;
    }
    rest.remove_prefix(bytes);
  }
  return interp.string(out.take(), self.markup());
}

/// True if there is a cased character and none of the class.
bool no_chars_of(std::string_view text, bool (*other)(char32_t)) {
  bool cased = false;
  while (!text.empty()) {
    Char c = next_char(text);
    if (other(c.code_point)) return false;
    cased = cased || is_upper(c.code_point) || is_lower(c.code_point);
    text.remove_prefix(c.bytes);
  }
  return cased;
}

}  // namespace

bool is_lower_text(std::string_view text) { return no_chars_of(text, is_upper); }
bool is_upper_text(std::string_view text) { return no_chars_of(text, is_lower); }

Value lower_text(Interp& interp, const Value& self) {
  charge_case(interp, self);
  return interp.string(to_lower(self.text()), self.markup());
}

Value upper_text(Interp& interp, const Value& self) {
  charge_case(interp, self);
  return interp.string(to_upper(self.text()), self.markup());
}

Value capitalize_text(Interp& interp, const Value& self) {
  if (self.text().empty()) return self;
  charge_case(interp, self);
  Char first = next_char(self.text());
  std::string out;
  append_title(out, first.code_point);
  out += to_lower(std::string_view(self.text()).substr(first.bytes));
  return interp.string(std::move(out), self.markup());
}

Value center_text(Interp& interp, const Value& self, int64_t width, std::string_view fill) {
  int64_t missing = missing_width(self, width);
  // Of an odd number of blanks the right gets more, unless the width is odd.
  int64_t left = missing / 2 + (missing & width & 1);
  return pad(interp, self, left, missing - left, fill);
}

MethodFn find_string_case_method(std::string_view name) {
  static const std::unordered_map<std::string_view, MethodFn> kMethods = {
      {"upper", method_upper},
      {"lower", method_lower},
      {"capitalize", method_capitalize},
      {"title", method_title},
      {"swapcase", method_swapcase},
      {"casefold", method_casefold},
      {"isalpha", all_chars<is_alpha>},
      {"isalnum", all_chars<is_alnum>},
      {"isdigit", all_chars<is_digit>},
      {"isdecimal", all_chars<is_decimal>},
      {"isnumeric", all_chars<is_numeric>},
      {"isspace", all_chars<is_space>},
      {"isascii", method_isascii},
      {"isprintable", method_isprintable},
      {"islower", method_islower},
      {"isupper", method_isupper},
      {"istitle", method_istitle},
      {"isidentifier", method_isidentifier},
      {"ljust", method_ljust},
      {"rjust", method_rjust},
      {"center", method_center},
      {"zfill", method_zfill},
      {"expandtabs", method_expandtabs},
  };
  auto it = kMethods.find(name);
  return it != kMethods.end() ? it->second : nullptr;
}

}  // namespace hearth::jinja
