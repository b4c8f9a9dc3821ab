// "{} {name!r:>8}".format(…)

#include "server/chat/operators.h"
#include "server/chat/printing.h"

namespace hearth::jinja {
namespace {

/// Replacement fields, whose format specs may hold replacement fields themselves, once.
class BraceFormatter {
 public:
  BraceFormatter(Interp& interp, bool markup, const Args& args)
      : interp_(interp), markup_(markup), args_(args) {}

  void run(std::string_view text, TextBuilder& out, int depth) {
    while (!text.empty()) {
      size_t brace = std::min(text.find_first_of("{}"), text.size());
      out << text.substr(0, brace);
      text.remove_prefix(brace);
      if (text.empty()) return;
      if (text.size() > 1 && text[1] == text[0]) {
        out << text[0];
        text.remove_prefix(2);
        continue;
      }
      if (text[0] == '}') runtime_fault("Single '}' encountered in format string");
      size_t end = field_end(text);
      field(text.substr(1, end - 1), out, depth);
      text.remove_prefix(end + 1);
    }
  }

 private:
  static size_t field_end(std::string_view text) {
    int open = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '{') ++open;
      if (text[i] == '}' && --open == 0) return i;
    }
    runtime_fault("expected '}' before end of string");
  }

  void field(std::string_view text, TextBuilder& out, int depth) {
    interp_.budget().step();
    if (depth > 1) runtime_fault("Max string recursion exceeded");
    // In a subscript of the name, '!' and ':' are part of the key.
    size_t name_end = 0;
    for (bool bracket = false; name_end < text.size(); ++name_end) {
      char c = text[name_end];
      if (c == '[') bracket = true;
      if (c == ']') bracket = false;
      if (!bracket && (c == '!' || c == ':')) break;
    }
    Value value = look_up(text.substr(0, name_end));
    text.remove_prefix(name_end);
    char conversion = 0;
    if (text.starts_with('!')) {
      if (text.size() < 2) runtime_fault("end of string while looking for conversion specifier");
      conversion = text[1];
      text.remove_prefix(2);
      if (!text.empty() && text[0] != ':') {
        runtime_fault("expected ':' after conversion specifier");
      }
    }
    if (!text.empty()) text.remove_prefix(1);
    TextBuilder spec(interp_.budget());
    run(text, spec, depth + 1);
    if (conversion == 'r' || conversion == 'a') {
      value = interp_.string(repr_of(interp_, value));
    } else if (conversion == 's') {
      value = to_str(interp_, value);
    } else if (conversion != 0) {
      runtime_fault(std::string("Unknown conversion specifier ") + conversion);
    }
    if (markup_ && !(value.is_string() && value.markup())) value = escape_value(interp_, value);
    append_format(interp_, out, value, spec.text());
  }

  Value look_up(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      bool item = path[0] == '[';
      size_t close = item ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (close == std::string_view::npos) runtime_fault("Missing ']' in format string");
      std::string_view part = path.substr(1, close - 1);
      if (part.empty()) runtime_fault("Empty attribute in format string");
      Value key =
          is_number(part) ? Value::integer(to_number(part)) : interp_.string(std::string(part));
      value = item ? get_item(interp_, value, key)
                   : get_attribute(interp_, value, interp_.string(std::string(part)));
      path.remove_prefix(item ? close + 1 : close);
    }
    return value;
  }

  Value argument(std::string_view name) {
    if (name.empty() || is_number(name)) {
      bool automatic = name.empty();
      if (numbering_ != Numbering::kNone && (numbering_ == Numbering::kAutomatic) != automatic) {
        runtime_fault(
            "cannot switch between manual field specification and automatic field "
            "numbering");
      }
      numbering_ = automatic ? Numbering::kAutomatic : Numbering::kManual;
      size_t index = automatic ? next_++ : static_cast<size_t>(to_number(name));
      if (index >= args_.positional.size()) {
        runtime_fault("Replacement index " + std::to_string(index) +
                      " out of range for positional args tuple");
      }
      return args_.positional[index];
    }
    for (const auto& [key, value] : args_.named) {
      if (key == name) return value;
    }
    runtime_fault("KeyError: '" + std::string(name) + "'");
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  }
  static int64_t to_number(std::string_view text) { return std::stoll(std::string(text)); }

  enum class Numbering : uint8_t { kNone, kAutomatic, kManual };
  Interp& interp_;
  bool markup_;
  const Args& args_;
  Numbering numbering_ = Numbering::kNone;
  size_t next_ = 0;
};

}  // namespace

Value format_braces(Interp& interp, const Value& text, Args& args) {
  TextBuilder out(interp.budget());
  BraceFormatter(interp, text.markup(), args).run(text.text(), out, 0);
  return interp.string(out.take(), text.markup());
}

}  // namespace hearth::jinja
