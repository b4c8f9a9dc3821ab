#pragma once
// Values as text: str(), repr(), JSON, HTML escapes and format strings.

#include <optional>
#include <string>
#include <string_view>

#include "server/chat/interp.h"
#include "server/chat/text_builder.h"

namespace hearth::jinja {

/// str(value); undefined is empty.
void append_str(Interp& interp, TextBuilder& out, const Value& value);
/// repr(value).
void append_repr(Interp& interp, TextBuilder& out, const Value& value);
Value to_str(Interp& interp, const Value& value);  // a string as it is
std::string str_of(Interp& interp, const Value& value);
std::string repr_of(Interp& interp, const Value& value);

/// repr(float): the shortest text that reads back as the same number.
std::string float_repr(double value);

/// & < > ' " as character references.
void append_escaped(TextBuilder& out, std::string_view text);
Value escape_value(Interp& interp, const Value& value);

struct JsonStyle {
  std::optional<std::string> indent;  // what each level is indented by; none: all on one line
  std::optional<std::string> item_separator;
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ensure_ascii = false;
};
/// json.dumps(value).
void append_json(Interp& interp, TextBuilder& out, const Value& value, const JsonStyle& style);

/// text % arguments.
Value format_percent(Interp& interp, const Value& text, const Value& arguments);
/// text.format(arguments).
Value format_braces(Interp& interp, const Value& text, Args& args);
/// format(value, spec), as in "{:>8.2f}".
void append_format(Interp& interp, TextBuilder& out, const Value& value, std::string_view spec);

}  // namespace hearth::jinja
