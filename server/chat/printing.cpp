#include "server/chat/printing.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "server/chat/merge_sort.h"
#include "server/chat/operators.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  auto scientific =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string_view text(buffer, static_cast<size_t>(scientific.ptr - buffer));
  size_t e = text.find('e');
  int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  if (exponent < -4 || exponent >= 16) {
    std::string out(text.substr(0, e));
    char tail[16];
    std::snprintf(tail, sizeof(tail), "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return out + tail;
  }
  auto fixed = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  std::string out(buffer, fixed.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

namespace {

void append_string_repr(Interp& interp, TextBuilder& out, std::string_view text) {
  interp.budget().step(text.size() / 256);
  bool single = text.find('\'') != std::string_view::npos;
  bool with_double = text.find('"') != std::string_view::npos;
  char quote = single && !with_double ? '"' : '\'';
  out << quote;
  while (!text.empty()) {
    Char c = next_char(text);
    std::string_view bytes = text.substr(0, c.bytes);
    text.remove_prefix(c.bytes);
    char escape[16] = "";
    if (c.code_point == static_cast<char32_t>(quote) || c.code_point == '\\') {
      out << '\\' << bytes;
    } else if (c.code_point == '\n') {
      out << "\\n";
    } else if (c.code_point == '\r') {
      out << "\\r";
    } else if (c.code_point == '\t') {
      out << "\\t";
    } else if (is_printable(c.code_point)) {
      out << bytes;
    } else {
      const char* form = c.code_point < 0x100 ? "\\x%02x" : "\\u%04x";
      if (c.code_point > 0xffff) form = "\\U%08x";
      std::snprintf(escape, sizeof(escape), form, static_cast<unsigned>(c.code_point));
      out << escape;
    }
  }
  out << quote;
}

void append_sequence(Interp& interp, TextBuilder& out, std::span<const Value> items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out << ", ";
    append_repr(interp, out, items[i]);
  }
}

void append_pairs(Interp& interp, TextBuilder& out, const std::vector<Entry>& entries) {
  out << '{';
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i != 0) out << ", ";
    append_repr(interp, out, entries[i].first);
    out << ": ";
    append_repr(interp, out, entries[i].second);
  }
  out << '}';
}

void append_namespace(Interp& interp, TextBuilder& out, const NamespaceObject& space) {
  out << "<Namespace {";
  for (size_t i = 0; i < space.attributes.size(); ++i) {
    if (i != 0) out << ", ";
    append_string_repr(interp, out, space.attributes[i].first);
    out << ": ";
    append_repr(interp, out, space.attributes[i].second);
  }
  out << "}>";
}

void append_object(Interp& interp, TextBuilder& out, const Value& value) {
  switch (value.kind()) {
    case Kind::kView: {
      out << type_name(value) << "([";
      Items items(interp, value);
      append_sequence(interp, out, items.span());
      out << "])";
      return;
    }
    case Kind::kRange: {
      const auto& range = value.object<RangeObject>();
      out << "range(" << std::to_string(range.start) << ", " << std::to_string(range.stop);
      if (range.step != 1) out << ", " << std::to_string(range.step);
      out << ')';
      return;
    }
    case Kind::kIterator:
      out << '<' << value.object<IteratorObject>().name << " object>";
      return;
    case Kind::kNamespace:
      return append_namespace(interp, out, value.object<NamespaceObject>());
    case Kind::kLoop: {
      const auto& loop = value.object<LoopObject>();
      out << "<LoopContext " << std::to_string(loop.index + 1) << '/'
          << std::to_string(loop.items.size()) << '>';
      return;
    }
    default:
      if (dynamic_cast<const MacroObject*>(value.pointer().get()) != nullptr) {
        out << "<Macro '" << value.object<CallableObject>().name << "'>";
      } else {
        out << "<function " << value.object<CallableObject>().name << '>';
      }
  }
}

}  // namespace

void append_repr(Interp& interp, TextBuilder& out, const Value& value) {
  Interp::Deeper deeper(interp);
  interp.budget().step();
  switch (value.kind()) {
    case Kind::kUndefined:
      if (value.pointer() != nullptr && value.object<UndefinedObject>().unsafe) {
        fault_undefined(value);
      }
      out << "Undefined";
      return;
    case Kind::kNone:
      out << "None";
      return;
    case Kind::kBool:
      out << (value.as_bool() ? "True" : "False");
      return;
    case Kind::kInt:
      out << std::to_string(value.as_int());
      return;
    case Kind::kBigInt:
      interp.budget().step(100);  // the decimal form takes a division per nine digits
      out << value.object<BigIntObject>().value.to_string();
      return;
    case Kind::kFloat:
      out << float_repr(value.as_real());
      return;
    case Kind::kString:
      if (value.markup()) out << "Markup(";
      append_string_repr(interp, out, value.text());
      if (value.markup()) out << ')';
      return;
    case Kind::kList:
      out << '[';
      append_sequence(interp, out, value.items());
      out << ']';
      return;
    case Kind::kTuple:
      out << '(';
      append_sequence(interp, out, value.items());
      out << (value.items().size() == 1 ? ",)" : ")");
      return;
    case Kind::kDict:
      return append_pairs(interp, out, value.dict().entries);
    default:
      append_object(interp, out, value);
  }
}

void append_str(Interp& interp, TextBuilder& out, const Value& value) {
  if (value.is_string()) {
    out << value.text();
  } else if (value.is_undefined()) {
    if (value.pointer() != nullptr && value.object<UndefinedObject>().unsafe) {
      fault_undefined(value);
    }
  } else {
    append_repr(interp, out, value);
  }
}

std::string str_of(Interp& interp, const Value& value) {
  if (value.is_string()) return value.text();
  TextBuilder out(interp.budget());
  append_str(interp, out, value);
  return out.take();
}

Value to_str(Interp& interp, const Value& value) {
  return value.is_string() ? value : interp.string(str_of(interp, value));
}

std::string repr_of(Interp& interp, const Value& value) {
  TextBuilder out(interp.budget());
  append_repr(interp, out, value);
  return out.take();
}

void append_escaped(TextBuilder& out, std::string_view text) {
  while (!text.empty()) {
    size_t plain = std::min(text.find_first_of("&<>'\""), text.size());
    out << text.substr(0, plain);
    if (plain == text.size()) return;
    switch (text[plain]) {
      case '&':
        out << "&amp;";
        break;
      case '<':
        out << "&lt;";
        break;
      case '>':
        out << "&gt;";
        break;
      case '\'':
        out << "&#39;";
        break;
      default:
        out << "&#34;";
    }
    text.remove_prefix(plain + 1);
  }
}

Value escape_value(Interp& interp, const Value& value) {
  if (value.is_string() && value.markup()) return value;
  TextBuilder out(interp.budget());
  append_escaped(out, str_of(interp, value));
  return interp.string(out.take(), true);
}

namespace {

void append_json_string(Interp& interp, TextBuilder& out, std::string_view text,
                        bool ensure_ascii) {
  interp.budget().step(text.size() / 256);
  out << '"';
  while (!text.empty()) {
    // What needs no escape goes out in one piece.
    size_t plain = 0;
    while (plain < text.size()) {
      auto c = static_cast<unsigned char>(text[plain]);
      if (c < 0x20 || c == '"' || c == '\\' || (ensure_ascii && c >= 0x7f)) break;
      ++plain;
    }
    out << text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    Char c = next_char(text);
    text.remove_prefix(c.bytes);
    static constexpr std::string_view kFrom = "\"\\\n\r\t\f\b";
    static constexpr std::string_view kTo = "\"\\nrtfb";
    size_t simple =
        c.code_point < 0x80 ? kFrom.find(static_cast<char>(c.code_point)) : std::string_view::npos;
    char escape[16];
    if (simple != std::string_view::npos) {
      out << '\\' << kTo[simple];
    } else if (c.code_point == 0x7f) {
      out << '\x7f';
    } else if (c.code_point < 0x10000) {
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c.code_point));
      out << escape;
    } else {
      unsigned rest = static_cast<unsigned>(c.code_point) - 0x10000;
      std::snprintf(escape, sizeof(escape), "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
                    0xdc00 + (rest & 0x3ff));
      out << escape;
    }
  }
  out << '"';
}

class JsonWriter {
 public:
  JsonWriter(Interp& interp, TextBuilder& out, const JsonStyle& style)
      : interp_(interp), out_(out), style_(style) {
    item_separator_ = style.item_separator.value_or(style.indent ? "," : ", ");
  }

  void write(const Value& value, size_t level) {
    Interp::Deeper deeper(interp_);
    interp_.budget().step();
    switch (value.kind()) {
      case Kind::kNone:
        out_ << "null";
        return;
      case Kind::kBool:
        out_ << (value.as_bool() ? "true" : "false");
        return;
      case Kind::kFloat:
        write_float(value.as_real());
        return;
      case Kind::kInt:
      case Kind::kBigInt:
        append_repr(interp_, out_, value);
        return;
      case Kind::kString:
        append_json_string(interp_, out_, value.text(), style_.ensure_ascii);
        return;
      case Kind::kList:
      case Kind::kTuple:
        write_list(value.items(), level);
        return;
      case Kind::kDict:
        write_dict(value.dict().entries, level);
        return;
      default:
        runtime_fault(std::string("Object of type ") + type_name(value) +
                      " is not JSON serializable");
    }
  }

 private:
  void write_float(double value) {
    if (std::isnan(value)) {
      out_ << "NaN";
    } else if (std::isinf(value)) {
      out_ << (value < 0 ? "-Infinity" : "Infinity");
    } else {
      out_ << float_repr(value);
    }
  }

  void new_line(size_t level) {
    if (!style_.indent) return;
    out_ << '\n';
    out_.repeat(*style_.indent, level);
  }

  void write_list(const std::vector<Value>& items, size_t level) {
    out_ << '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i != 0) out_ << item_separator_;
      new_line(level + 1);
      write(items[i], level + 1);
    }
    if (!items.empty()) new_line(level);
    out_ << ']';
  }

  void write_dict(const std::vector<Entry>& entries, size_t level) {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries) order.push_back(&entry);
    if (style_.sort_keys) {
      merge_sort(order,
                 [&](const Entry* a, const Entry* b) { return less(interp_, a->first, b->first); });
    }
    out_ << '{';
    for (size_t i = 0; i < order.size(); ++i) {
      if (i != 0) out_ << item_separator_;
      new_line(level + 1);
      write_key(order[i]->first);
      out_ << style_.key_separator;
      write(order[i]->second, level + 1);
    }
    if (!entries.empty()) new_line(level);
    out_ << '}';
  }

  void write_key(const Value& key) {
    if (key.is_string()) {
      append_json_string(interp_, out_, key.text(), style_.ensure_ascii);
      return;
    }
    if (!key.is_number() && !key.is_none()) {
      runtime_fault(std::string("keys must be str, int, float, bool or None, not ") +
                    type_name(key));
    }
    out_ << '"';
    write(key, 0);
    out_ << '"';
  }

  Interp& interp_;
  TextBuilder& out_;
  const JsonStyle& style_;
  std::string item_separator_;
};

}  // namespace

void append_json(Interp& interp, TextBuilder& out, const Value& value, const JsonStyle& style) {
  JsonWriter(interp, out, style).write(value, 0);
}

}  // namespace hearth::jinja
