// Filters on single values.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "server/chat/bound_args.h"
#include "server/chat/filters.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/string_case.h"

namespace hearth::jinja {
namespace {

Value filter_default(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("default", args, {"default_value", "boolean"});
  if (subject.is_undefined() || (bound.flag(1, false) && !truthy(subject))) {
    return bound.has(0) ? bound[0] : interp.string("");
  }
  return subject;
}

Value filter_abs(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("abs", args, {});
  if (subject.is(Kind::kFloat)) return Value::real(std::fabs(subject.as_real()));
  if (!subject.is_integral()) {
    if (subject.is_undefined()) fault_undefined(subject);
    runtime_fault(std::string("bad operand type for abs(): '") + type_name(subject) + "'");
  }
  bool negative = less(interp, subject, Value::integer(0));
  return negative ? negate(interp, subject) : plus(interp, subject);
}

/// The text of a number without blanks around it and underscores between its digits.
std::string number_text(std::string_view text) {
  std::string out;
  text = trim_right(trim_left(text));
  for (size_t i = 0; i < text.size(); ++i) {
    bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_' && text[i + 1] != '_';
    if (text[i] != '_' || !between) out += text[i];
  }
  return out;
}

std::optional<Value> parse_int(Interp& interp, std::string_view source, int64_t base) {
  if (source.size() > 2 * BigInt::kMaxBits) return std::nullopt;
  std::string owned = number_text(source);
  std::string_view text = owned;
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    char prefix = static_cast<char>(text[1] | 0x20);
    int64_t prefixed = prefix == 'x' ? 16 : (prefix == 'o' ? 8 : (prefix == 'b' ? 2 : 0));
    if (prefixed != 0 && (base == prefixed || base == 0)) {
      base = prefixed;
      text.remove_prefix(2);
    }
  }
  if (base == 0) base = 10;
  if (base < 2 || base > 36) return std::nullopt;
  interp.budget().step(1 + text.size());
  auto number = BigInt::parse(text, static_cast<int>(base));
  if (!number) return std::nullopt;
  return interp.big(negative ? number->negated() : std::move(*number));
}

std::optional<double> parse_float(std::string_view source) {
  if (source.size() > 4096) return std::nullopt;
  std::string text = number_text(source);
  // strtod also reads hexadecimal forms, which Python's float does not.
  if (text.empty() || text.find_first_of("xXpP()") != std::string::npos) return std::nullopt;
  if (text.find('\0') != std::string::npos) return std::nullopt;
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> as_float(const Value& value) {
  if (value.is_number()) return to_double(value);
  if (value.is_string()) return parse_float(value.text());
  if (value.is_undefined()) fault_undefined(value);
  return std::nullopt;
}

Value filter_int(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("int", args, {"default", "base"});
  if (subject.is_integral()) return plus(interp, subject);
  if (subject.is_string()) {
    if (auto value = parse_int(interp, subject.text(), bound.integer(1, 10))) return *value;
  }
  if (auto number = as_float(subject)) {
    if (auto whole = BigInt::from_double(*number)) return interp.big(std::move(*whole));
  }
  return bound.get(0, Value::integer(0));
}

Value filter_float(Interp&, const Value& subject, Args& args) {
  BoundArgs bound("float", args, {"default"});
  if (auto number = as_float(subject)) return Value::real(*number);
  return bound.get(0, Value::real(0));
}

/// Python's round(value, digits): to the nearest decimal, exact ties to even.
double round_decimal(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return value;
  if (digits < -308) return std::copysign(0.0, value);
  if (digits < 0) {
    double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::nearbyint(value / unit) * unit;
  }
  char buffer[700];  // 309 digits before the point, 323 after it
  std::snprintf(buffer, sizeof(buffer), "%.*f", static_cast<int>(digits), value);
  return std::strtod(buffer, nullptr);
}

Value filter_round(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("round", args, {"precision", "method"});
  std::string method = bound.has(1) ? bound.text(1) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    runtime_fault("method must be common, ceil or floor");
  }
  if (!subject.is_number()) {
    if (subject.is_undefined()) fault_undefined(subject);
    runtime_fault(std::string("type ") + type_name(subject) + " doesn't define __round__ method");
  }
  int64_t precision = bound.integer(0, 0);
  if (method == "common") {
    if (subject.is_integral()) {
      if (precision >= 0) return plus(interp, subject);
      return Value::integer(static_cast<int64_t>(
          std::clamp(round_decimal(to_double(subject), precision), -9e18, 9e18)));
    }
    return Value::real(round_decimal(subject.as_real(), precision));
  }
  double scale = std::pow(10.0, static_cast<double>(precision));
  double scaled = to_double(subject) * scale;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value filter_filesize(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("filesizeformat", args, {"binary"});
  auto number = as_float(subject);
  if (!number) runtime_fault("could not convert the value to float");
  bool binary = bound.flag(0, false);
  double base = binary ? 1024 : 1000;
  if (*number == 1) return interp.string("1 Byte");
  char text[64];
  if (*number < base) {
    std::snprintf(text, sizeof(text), "%.0f Bytes", std::trunc(std::max(*number, -1e30)));
    return interp.string(text);
  }
  static constexpr const char* kDecimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
  static constexpr const char* kBinary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
  double unit = base * base;
  size_t i = 0;
  while (i + 1 < std::size(kDecimal) && *number >= unit) {
    unit *= base;
    ++i;
  }
  std::snprintf(text, sizeof(text), "%.1f %s", std::min(base * *number / unit, 1e40),
                binary ? kBinary[i] : kDecimal[i]);
  return interp.string(text);
}

Value filter_attr(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("attr", args, {"name"}, 1);
  if (subject.is(Kind::kDict) && find_container_method(subject, bound.text(0)) == nullptr) {
    return interp.undefined("'dict object' has no attribute " + repr_of(interp, bound[0]));
  }
  return get_attribute(interp, subject, bound[0]);
}

Value filter_items(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("items", args, {});
  if (subject.is_undefined()) return interp.iterator({});
  if (!subject.is(Kind::kDict)) runtime_fault("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  for (const Entry& entry : subject.dict().entries) {
    pairs.push_back(interp.tuple({entry.first, entry.second}));
  }
  return interp.iterator(std::move(pairs));
}

Value filter_tojson(Interp& interp, const Value& subject, Args& args) {
  BoundArgs bound("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (!bound.absent(1)) {
    if (bound[1].is_string()) {
      style.indent = bound[1].text();
    } else {
      int64_t width = std::max<int64_t>(0, bound.integer(1, 0));
      interp.budget().check_text(static_cast<size_t>(width));
      style.indent = std::string(static_cast<size_t>(width), ' ');
    }
  }
  if (!bound.absent(2)) {
    Items pair(interp, bound[2]);
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      runtime_fault("separators must be a pair of strings");
    }
    style.item_separator = pair[0].text();
    style.key_separator = pair[1].text();
  }
  TextBuilder out(interp.budget());
  append_json(interp, out, subject, style);
  return interp.string(out.take());
}

/// Not part of the language, but some models' templates use it on tool call arguments.
Value filter_from_json(Interp& interp, const Value& subject, Args& args) {
  BoundArgs("from_json", args, {});
  if (!subject.is_string()) {
    runtime_fault(std::string("the JSON object must be str, not ") + type_name(subject));
  }
  interp.budget().step(subject.text().size() / 16);
  // Depth is checked while parsing: the document itself must not nest without bound.
  auto within_depth = [](int depth, OrderedJson::parse_event_t, OrderedJson&) {
    if (depth > static_cast<int>(Budget::kMaxValueNesting)) limit_fault("JSON nests too deep");
    return true;
  };
  OrderedJson json = OrderedJson::parse(subject.text(), within_depth, false);
  if (json.is_discarded()) runtime_fault("the value is not valid JSON");
  return interp.from_json(json);
}

}  // namespace

const FilterTable& value_filters() {
  static const FilterTable kFilters = {
      {"default", filter_default},
      {"d", filter_default},
      {"abs", filter_abs},
      {"int", filter_int},
      {"float", filter_float},
      {"round", filter_round},
      {"filesizeformat", filter_filesize},
      {"attr", filter_attr},
      {"items", filter_items},
      {"tojson", filter_tojson},
      {"from_json", filter_from_json},
      {"fromjson", filter_from_json},
  };
  return kFilters;
}

}  // namespace hearth::jinja
