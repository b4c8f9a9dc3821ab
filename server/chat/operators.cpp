#include "server/chat/operators.h"

#include <algorithm>
#include <cmath>

#include "server/chat/unicode.h"

namespace hearth::jinja {

std::string undefined_message(const Value& value) {
  if (value.pointer() == nullptr) return "the value is undefined";
  return value.object<UndefinedObject>().message;
}

void fault_undefined(const Value& value) { runtime_fault(undefined_message(value)); }

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_real() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kView:
      return !value.object<ViewObject>().dict.dict().entries.empty();
    case Kind::kRange:
      return value.object<RangeObject>().length != 0;
    default:
      return true;
  }
}

int64_t to_index(const Value& value, const char* what) {
  if (value.is(Kind::kInt) || value.is(Kind::kBool)) return value.as_int();
  if (value.is_undefined()) fault_undefined(value);
  if (value.is(Kind::kBigInt)) limit_fault(std::string(what) + " is too large");
  runtime_fault(std::string(what) + " must be an integer, not '" + type_name(value) + "'");
}

double to_double(const Value& value) {
  if (value.is(Kind::kFloat)) return value.as_real();
  if (value.is(Kind::kBigInt)) return value.object<BigIntObject>().value.to_double();
  return static_cast<double>(value.as_int());
}

BigInt to_big(const Value& value) {
  return value.is(Kind::kBigInt) ? value.object<BigIntObject>().value : BigInt(value.as_int());
}

bool iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kView:
    case Kind::kRange:
    case Kind::kIterator:
      return true;
    default:
      return false;
  }
}

namespace {

void expand_string(Interp& interp, const std::string& text, std::vector<Value>& out) {
  interp.budget().step(text.size() / 4);
  std::string_view rest = text;
  while (!rest.empty()) {
    Char c = next_char(rest);
    out.push_back(interp.string(std::string(rest.substr(0, c.bytes))));
    rest.remove_prefix(c.bytes);
  }
}

void expand_dict(Interp& interp, const DictObject& dict, ViewKind view, std::vector<Value>& out) {
  for (const Entry& entry : dict.entries) {
    if (view == ViewKind::kItems) {
      out.push_back(interp.tuple({entry.first, entry.second}));
    } else {
      out.push_back(view == ViewKind::kKeys ? entry.first : entry.second);
    }
  }
}

}  // namespace

Items::Items(Interp& interp, const Value& value, const char* unpacking) {
  switch (value.kind()) {
    case Kind::kUndefined:
      if (value.pointer() != nullptr && value.object<UndefinedObject>().unsafe) {
        fault_undefined(value);
      }
      break;
    case Kind::kList:
    case Kind::kTuple:
      keep_ = value;
      viewed_ = true;
      break;
    case Kind::kString:
      expand_string(interp, value.text(), owned_);
      break;
    case Kind::kDict:
      expand_dict(interp, value.dict(), ViewKind::kKeys, owned_);
      break;
    case Kind::kView: {
      const auto& view = value.object<ViewObject>();
      expand_dict(interp, view.dict.dict(), view.view, owned_);
      break;
    }
    case Kind::kRange: {
      const auto& range = value.object<RangeObject>();
      for (int64_t i = 0; i < range.length; ++i) owned_.push_back(Value::integer(range.at(i)));
      break;
    }
    case Kind::kIterator: {
      auto& iterator = value.object<IteratorObject>();
      owned_.assign(iterator.items.begin() + static_cast<ptrdiff_t>(iterator.next),
                    iterator.items.end());
      iterator.next = iterator.items.size();
      break;
    }
    default: {
      std::string type = type_name(value);
      runtime_fault(*unpacking == '\0' ? "'" + type + "' object is not iterable"
                                       : unpacking + type + " object");
    }
  }
  interp.budget().value_work(size());
}

int64_t length_of(Interp& interp, const Value& value) {
  (void)interp;
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.string_object().length());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kView:
      return static_cast<int64_t>(value.object<ViewObject>().dict.dict().entries.size());
    case Kind::kRange:
      return value.object<RangeObject>().length;
    case Kind::kLoop:
      return static_cast<int64_t>(value.object<LoopObject>().items.size());
    default:
      runtime_fault(std::string("object of type '") + type_name(value) + "' has no len()");
  }
}

namespace {

bool equal_sequences(Interp& interp, std::span<const Value> a, std::span<const Value> b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equals(interp, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Interp& interp, const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const Entry& entry : a.entries) {
    const Value* other = b.find(entry.first);
    if (other == nullptr || !equals(interp, entry.second, *other)) return false;
  }
  return true;
}

/// Views of keys and of items are sets.
bool equal_views(Interp& interp, const ViewObject& a, const ViewObject& b) {
  const DictObject& x = a.dict.dict();
  const DictObject& y = b.dict.dict();
  if (a.view == ViewKind::kValues || b.view == ViewKind::kValues) return &a == &b;
  if (a.view != b.view || x.entries.size() != y.entries.size()) {
    return x.entries.empty() && y.entries.empty();
  }
  if (a.view == ViewKind::kItems) return equal_dicts(interp, x, y);
  interp.budget().value_work(x.entries.size());
  return std::all_of(x.entries.begin(), x.entries.end(),
                     [&y](const Entry& entry) { return y.find(entry.first) != nullptr; });
}

bool has_nan(const Value& a, const Value& b) {
  return (a.is(Kind::kFloat) && std::isnan(a.as_real())) ||
         (b.is(Kind::kFloat) && std::isnan(b.as_real()));
}

}  // namespace

bool equals(Interp& interp, const Value& a, const Value& b) {
  interp.budget().step();
  if (a.is_number() && b.is_number()) return !has_nan(a, b) && compare_keys(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      interp.budget().text_work(std::min(a.text().size(), b.text().size()));
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return a.pointer() == b.pointer() || equal_sequences(interp, a.items(), b.items());
    case Kind::kDict:
      return a.pointer() == b.pointer() || equal_dicts(interp, a.dict(), b.dict());
    case Kind::kView:
      return equal_views(interp, a.object<ViewObject>(), b.object<ViewObject>());
    case Kind::kRange: {
      Items x(interp, a);
      Items y(interp, b);
      return equal_sequences(interp, x.span(), y.span());
    }
    default:
      return a.pointer() == b.pointer();
  }
}

bool less(Interp& interp, const Value& a, const Value& b) {
  interp.budget().step();
  if (a.is_undefined()) fault_undefined(a);
  if (b.is_undefined()) fault_undefined(b);
  if (a.is_number() && b.is_number()) return !has_nan(a, b) && compare_keys(a, b) < 0;
  if (a.is_string() && b.is_string()) {
    interp.budget().text_work(std::min(a.text().size(), b.text().size()));
    return a.text() < b.text();  // the order of UTF-8 bytes is that of code points
  }
  if (a.is_list_like() && a.kind() == b.kind()) {
    const auto& x = a.items();
    const auto& y = b.items();
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equals(interp, x[i], y[i])) return less(interp, x[i], y[i]);
    }
    return x.size() < y.size();
  }
  runtime_fault(std::string("'<' not supported between instances of '") + type_name(a) + "' and '" +
                type_name(b) + "'");
}

bool contains(Interp& interp, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString:
      if (item.is_undefined()) fault_undefined(item);
      if (!item.is_string()) {
        runtime_fault(std::string("'in <string>' requires string as left operand, not ") +
                      type_name(item));
      }
      interp.budget().text_work(container.text().size());
      return container.text().find(item.text()) != std::string::npos;
    case Kind::kDict:
      check_hashable(item);
      return container.dict().find(item) != nullptr;
    case Kind::kView:
      if (container.object<ViewObject>().view == ViewKind::kKeys) {
        return contains(interp, container.object<ViewObject>().dict, item);
      }
      break;
    case Kind::kUndefined:
      break;
    default:
      if (!iterable(container)) {
        runtime_fault(std::string("argument of type '") + type_name(container) +
                      "' is not iterable");
      }
  }
  Items items(interp, container);
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& other) { return equals(interp, item, other); });
}

bool compare(Interp& interp, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::kEqual:
      return equals(interp, a, b);
    case Op::kNotEqual:
      return !equals(interp, a, b);
    case Op::kLess:
      return less(interp, a, b);
    case Op::kGreater:
      return less(interp, b, a);
    case Op::kLessEqual:
      return less(interp, a, b) || equals(interp, a, b);
    case Op::kGreaterEqual:
      return less(interp, b, a) || equals(interp, a, b);
    case Op::kIn:
      return contains(interp, b, a);
    default:
      return !contains(interp, b, a);
  }
}

}  // namespace hearth::jinja
