// Filters on texts.

#include <algorithm>

#include "server/chat/bound_args.h"
#include "server/chat/filters.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/string_case.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

Value filter_upper(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("upper", args, {});
  return upper_text(interp, to_str(interp, subject));
}
Value filter_lower(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("lower", args, {});
  return lower_text(interp, to_str(interp, subject));
}
Value filter_capitalize(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("capitalize", args, {});
  return capitalize_text(interp, to_str(interp, subject));
}

/// Words start after white space, '-', and opening brackets.
Value filter_title(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("title", args, {});
  Value text = to_str(interp, subject);
  interp.budget().step(text.text().size() / 64);
  std::string out;
  bool starts = true;
  std::string_view rest = text.text();
  while (!rest.empty()) {
    Char c = next_char(rest);
    rest.remove_prefix(c.bytes);
    starts ? append_upper(out, c.code_point) : append_lower(out, c.code_point);
    starts = is_space(c.code_point) ||
             std::u32string_view(U"-({[<").find(c.code_point) != std::u32string_view::npos;
  }
  return interp.string(std::move(out));
}

Value filter_trim(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("trim", args, {"chars"});
  const std::string* set = bound.absent(0) ? nullptr : &bound.text(0);
  return strip_text(interp, to_str(interp, subject), set, true, true);
}

Value filter_replace(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("replace", args, {"old", "new", "count"}, 2);
  std::string from = str_of(interp, bound[0]);
  std::string to = str_of(interp, bound[1]);
  int64_t count = bound.absent(2) ? -1 : bound.integer(2, -1);
  return replace_text(interp, to_str(interp, subject), from, to, count).with_markup(false);
}

Value filter_string(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("string", args, {});
  return to_str(interp, subject);
}

Value filter_format(Interp& interp, const Value& subject, Args& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    runtime_fault("can't handle positional and keyword arguments at the same time");
  }
  Value values;
  if (!args.named.empty()) {
    std::vector<Entry> entries;
    for (auto& [name, value] : args.named) entries.emplace_back(interp.string(name), value);
    values = interp.dict(std::move(entries));
  } else {
    values = interp.tuple(args.positional);
  }
  return format_percent(interp, to_str(interp, subject), values);
}

Value filter_center(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("center", args, {"width"});
  return center_text(interp, to_str(interp, subject), bound.integer(0, 80), " ");
}

Value filter_indent(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("indent", args, {"width", "first", "blank"});
  if (subject.is_undefined()) fault_undefined(subject);
  if (!subject.is_string()) {
    runtime_fault(std::string("indent needs a str, not '") + type_name(subject) + "'");
  }
  std::string indent;
  if (bound.has(0) && bound[0].is_string()) {
    indent = bound[0].text();
  } else {
    TextBuilder blanks(interp.budget());
    blanks.repeat(" ", static_cast<size_t>(std::max<int64_t>(0, bound.integer(0, 4))));
    indent = blanks.take();
  }
  bool blank = bound.flag(2, false);
  TextBuilder out(interp.budget());
  if (bound.flag(1, false)) out << indent;
  // A last line end does not begin another line, but the text ends with it.
  std::string text = subject.text() + "\n";
  std::vector<std::string_view> lines = split_lines(interp, text, false);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i != 0) out << "\n";
    if (i != 0 && (blank || !lines[i].empty())) out << indent;
    out << lines[i];
  }
  return interp.string(out.take(), subject.markup());
}

const std::string& need_text(const char* filter, const Value& subject) {
  if (subject.is_string()) return subject.text();
  if (subject.is_undefined()) fault_undefined(subject);
  runtime_fault(std::string(filter) + " needs a text, not '" + type_name(subject) + "'");
}

Value filter_truncate(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("truncate", args, {"length", "killwords", "end", "leeway"});
  int64_t length = bound.integer(0, 255);
  Value end = bound.get(2, interp.string("..."));
  int64_t leeway = bound.absent(3) ? 5 : bound.integer(3, 5);
  auto end_length = static_cast<int64_t>(str_of(interp, end).empty() ? 0 : length_of(interp, end));
  if (length < end_length) {
    runtime_fault("expected length >= " + std::to_string(end_length) + ", got " +
                  std::to_string(length));
  }
  if (leeway < 0) runtime_fault("expected leeway >= 0, got " + std::to_string(leeway));
  int64_t size = length_of(interp, subject);  // of any sequence: a short one passes as it is
  if (size <= length || size - length <= leeway) return subject;
  const std::string& text = need_text("truncate", subject);
  std::string kept = text.substr(0, bytes_of_chars(text, static_cast<size_t>(length - end_length)));
  if (!bound.flag(1, false)) {
    size_t blank = kept.rfind(' ');
    if (blank != std::string::npos) kept.resize(blank);
  }
  return interp.string(kept + str_of(interp, end), subject.markup());
}

Value filter_wordcount(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("wordcount", args, {});
  std::string text = str_of(interp, subject);
  interp.budget().step(text.size() / 64);
  int64_t words = 0;
  bool inside = false;
  std::string_view rest = text;
  while (!rest.empty()) {
    Char c = next_char(rest);
    rest.remove_prefix(c.bytes);
    bool word = c.code_point == '_' || is_alnum(c.code_point);
    if (word && !inside) ++words;
    inside = word;
  }
  return Value::integer(words);
}

/// Breaks the line of `words` (blanks and words alternating) at `width` characters.
void wrap_line(Interp& interp, std::string_view line, int64_t width, bool break_long,
               const std::string& separator, TextBuilder& out) {
  bool first_line = true;
  int64_t column = 0;
  std::string pending;  // blanks that may turn out to end the line
  auto new_line = [&] {
    if (!std::exchange(first_line, false)) out << separator;
    column = 0;
  };
  bool started = false;
  while (!line.empty()) {
    interp.budget().step();
    bool blank = is_space(next_char(line).code_point);
    size_t end = 0;
    while (end < line.size() && is_space(next_char(line.substr(end)).code_point) == blank) {
      end += next_char(line.substr(end)).bytes;
    }
    std::string_view chunk = line.substr(0, end);
    line.remove_prefix(end);
    if (blank) {
      pending = chunk;
      continue;
    }
    auto pending_size = static_cast<int64_t>(count_chars(pending));
    auto size = static_cast<int64_t>(count_chars(chunk));
    if (!started) {
      new_line();
      started = true;
      if (pending_size > 0 && pending_size + size <= width) {  // the indent of the paragraph stays
        out << pending;
        column = pending_size;
      }
    } else if (column + pending_size + size <= width) {
      out << pending;
      column += pending_size;
    } else if (column + pending_size < width && size > width && break_long) {
      out << pending;
      column += pending_size;
    } else {
      new_line();
    }
    while (break_long && column + size > width) {
      int64_t room = std::max<int64_t>(1, width - column);
      size_t bytes = bytes_of_chars(chunk, static_cast<size_t>(room));
      out << chunk.substr(0, bytes);
      chunk.remove_prefix(bytes);
      size -= room;
      new_line();
    }
    out << chunk;
    column += size;
    pending.clear();
  }
}

Value filter_wordwrap(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("wordwrap", args,
                  {"width", "break_long_words", "wrapstring", "break_on_hyphens"});
  const std::string& text = need_text("wordwrap", subject);
  int64_t width = bound.integer(0, 79);
  if (width <= 0) runtime_fault("invalid width " + std::to_string(width) + " (must be > 0)");
  std::string separator = bound.absent(2) ? "\n" : bound.text(2);
  TextBuilder out(interp.budget());
  bool first = true;
  for (std::string_view line : split_lines(interp, text, false)) {
    if (!std::exchange(first, false)) out << separator;
    wrap_line(interp, line, width, bound.flag(1, true), separator, out);
  }
  return interp.string(out.take());
}

Value filter_striptags(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("striptags", args, {});
  std::string text = str_of(interp, subject);
  TextBuilder out(interp.budget());
  std::string_view rest = text;
  bool blank = false;
  bool any = false;
  while (!rest.empty()) {
    if (rest[0] == '<') {
      bool comment = rest.starts_with("<!--");
      size_t end = comment ? rest.find("-->") : rest.find('>');
      if (end != std::string_view::npos) {
        rest.remove_prefix(end + (comment ? 3 : 1));
        continue;
      }
    }
    Char c = next_char(rest);
    if (is_space(c.code_point)) {
      blank = true;
    } else {
      if (blank && any) out << ' ';
      blank = false;
      any = true;
      out << rest.substr(0, c.bytes);
    }
    rest.remove_prefix(c.bytes);
  }
  return interp.string(out.take());
}

void append_quoted(TextBuilder& out, std::string_view text, bool query) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (byte < 0x80 && (is_alpha(byte) || (c >= '0' && c <= '9'))) ||
                 std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !query);
    if (plain) {
      out << c;
    } else if (c == ' ' && query) {
      out << '+';
    } else {
      out << '%' << kHex[byte >> 4] << kHex[byte & 15];
    }
  }
}

Value filter_urlencode(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("urlencode", args, {});
  TextBuilder out(interp.budget());
  if (subject.is_string() || !iterable(subject)) {
    std::string text = str_of(interp, subject);
    interp.budget().step(text.size() / 64);
    append_quoted(out, text, false);
    return interp.string(out.take());
  }
  Value pairs = subject.is(Kind::kDict) ? interp.view(subject, ViewKind::kItems) : subject;
  bool first = true;
  for (const Value& item : Items(interp, pairs)) {
    Items pair(interp, item, "cannot unpack non-iterable ");
    if (pair.size() != 2) runtime_fault("urlencode needs pairs of a key and a value");
    if (!std::exchange(first, false)) out << '&';
    append_quoted(out, str_of(interp, pair[0]), true);
    out << '=';
    append_quoted(out, str_of(interp, pair[1]), true);
  }
  return interp.string(out.take());
}

Value filter_escape(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("escape", args, {});
  return escape_value(interp, subject);
}
Value filter_forceescape(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("forceescape", args, {});
  return escape_value(interp, to_str(interp, subject).with_markup(false));
}
Value filter_safe(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("safe", args, {});
  return to_str(interp, subject).with_markup(true);
}

Value filter_xmlattr(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("xmlattr", args, {"autospace"});
  if (!subject.is(Kind::kDict)) runtime_fault("xmlattr needs a mapping");
  TextBuilder out(interp.budget());
  bool first = !bound.flag(0, true);
  for (const auto& [key, value] : subject.dict().entries) {
    if (value.is_none() || value.is_undefined()) continue;
    std::string name = str_of(interp, key);
    if (name.find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      runtime_fault("Invalid character in attribute name: " + repr_of(interp, key));
    }
    if (!std::exchange(first, false)) out << ' ';
    append_escaped(out, name);
    out << "=\"" << escape_value(interp, value).text() << '"';
  }
  return interp.string(out.take());
}

}  // namespace

const FilterTable& text_filters() {
  static const FilterTable kFilters = {
      {"upper", filter_upper},
      {"lower", filter_lower},
      {"capitalize", filter_capitalize},
      {"title", filter_title},
      {"trim", filter_trim},
      {"replace", filter_replace},
      {"string", filter_string},
      {"format", filter_format},
      {"center", filter_center},
      {"indent", filter_indent},
      {"truncate", filter_truncate},
      {"wordcount", filter_wordcount},
      {"wordwrap", filter_wordwrap},
      {"striptags", filter_striptags},
      {"urlencode", filter_urlencode},
      {"escape", filter_escape},
      {"e", filter_escape},
      {"forceescape", filter_forceescape},
      {"safe", filter_safe},
      {"xmlattr", filter_xmlattr},
  };
  return kFilters;
}

MethodFn find_filter(std::string_view name) {
  for (const FilterTable* table :
       {&text_filters(), &value_filters(), &sequence_filters(), &select_filters()}) {
    if (auto it = table->find(name); it != table->end()) return it->second;
  }
  return nullptr;
}

}  // namespace hearth::jinja
