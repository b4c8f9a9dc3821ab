#include "server/chat/value.h"

#include <algorithm>
#include <cmath>

#include "server/chat/unicode.h"

namespace hearth::jinja {

Value Value::real(double value) {
  Value out(Kind::kFloat, 0);
  out.real_ = value;
  return out;
}

const std::string& Value::text() const { return object<StringObject>().text; }
const std::vector<Value>& Value::items() const { return object<ListObject>().items; }
const DictObject& Value::dict() const { return object<DictObject>(); }
const StringObject& Value::string_object() const { return object<StringObject>(); }

size_t StringObject::length() const {
  int64_t known = length_.load(std::memory_order_relaxed);
  if (known < 0) {
    known = static_cast<int64_t>(count_chars(text));
    length_.store(known, std::memory_order_relaxed);
  }
  return static_cast<size_t>(known);
}

Value literal_string(std::string text) {
  auto object = std::make_shared<StringObject>(std::move(text));
  (void)object->length();
  return {Kind::kString, std::move(object)};
}

namespace {

int rank(const Value& value) {
  switch (value.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kBigInt:
    case Kind::kFloat:
      return 0;
    case Kind::kString:
      return 1;
    case Kind::kNone:
      return 2;
    case Kind::kTuple:
      return 3;
    case Kind::kUndefined:
      return 4;
    default:
      return 5;  // by identity
  }
}

template <typename T>
int three_way(const T& a, const T& b) {
  return a < b ? -1 : (b < a ? 1 : 0);
}

int compare_numbers(const Value& a, const Value& b) {
  bool a_small = a.is(Kind::kInt) || a.is(Kind::kBool);
  bool b_small = b.is(Kind::kInt) || b.is(Kind::kBool);
  if (a_small && b_small) return three_way(a.as_int(), b.as_int());
  auto as_double = [](const Value& v) {
    if (v.is(Kind::kFloat)) return v.as_real();
    if (v.is(Kind::kBigInt)) return v.object<BigIntObject>().value.to_double();
    return static_cast<double>(v.as_int());
  };
  auto as_big = [](const Value& v) {
    return v.is(Kind::kBigInt) ? v.object<BigIntObject>().value : BigInt(v.as_int());
  };
  if (a.is_integral() && b.is_integral()) {
    auto order = as_big(a) <=> as_big(b);
    return order < 0 ? -1 : (order > 0 ? 1 : 0);
  }
  double x = as_double(a);
  double y = as_double(b);
  if (std::isnan(x) || std::isnan(y)) return three_way(std::isnan(x), std::isnan(y));
  return three_way(x, y);
}

}  // namespace

void check_hashable(const Value& key) {
  switch (key.kind()) {
    case Kind::kList:
    case Kind::kDict:
      runtime_fault(std::string("unhashable type: '") + type_name(key) + "'");
    case Kind::kTuple:
      for (const Value& item : key.items()) check_hashable(item);
      return;
    default:
      return;
  }
}

int compare_keys(const Value& a, const Value& b) {
  if (int by_rank = three_way(rank(a), rank(b)); by_rank != 0) return by_rank;
  switch (rank(a)) {
    case 0:
      return compare_numbers(a, b);
    case 1:
      return a.text().compare(b.text());
    case 2:
    case 4:
      return 0;
    case 3: {
      const auto& x = a.items();
      const auto& y = b.items();
      for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
        if (int order = compare_keys(x[i], y[i]); order != 0) return order;
      }
      return three_way(x.size(), y.size());
    }
    default:
      return three_way(a.pointer().get(), b.pointer().get());
  }
}

const Value* DictObject::find(const Value& key) const {
  if (sorted.empty()) {
    for (const Entry& entry : entries) {
      if (compare_keys(entry.first, key) == 0) return &entry.second;
    }
    return nullptr;
  }
  auto it = std::lower_bound(sorted.begin(), sorted.end(), key, [this](uint32_t i, const Value& k) {
    return compare_keys(entries[i].first, k) < 0;
  });
  if (it == sorted.end() || compare_keys(entries[*it].first, key) != 0) return nullptr;
  return &entries[*it].second;
}

const Value* DictObject::find(std::string_view key) const {
  if (sorted.empty()) {
    for (const Entry& entry : entries) {
      if (entry.first.is_string() && entry.first.text() == key) return &entry.second;
    }
    return nullptr;
  }
  return find(literal_string(std::string(key)));
}

const char* type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
    case Kind::kBigInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kView:
      switch (value.object<ViewObject>().view) {
        case ViewKind::kKeys:
          return "dict_keys";
        case ViewKind::kValues:
          return "dict_values";
        case ViewKind::kItems:
          return "dict_items";
      }
      return "dict_items";
    case Kind::kRange:
      return "range";
    case Kind::kIterator:
      return value.object<IteratorObject>().name;
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCallable:
      return "function";
  }
  return "object";
}

}  // namespace hearth::jinja
