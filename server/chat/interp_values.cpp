// Makes the values of a rendering.

#include <algorithm>
#include <numeric>

#include "server/chat/interp.h"
#include "server/chat/merge_sort.h"

namespace hearth::jinja {

void Interp::adopt(Object& object, size_t bytes) {
  budget_.retain(bytes);
  object.budget = &budget_;
  object.charged = bytes;
}

void Interp::check_nesting(uint32_t nesting) const {
  if (nesting > Budget::kMaxValueNesting) {
    limit_fault("a value of the template nests deeper than " +
                std::to_string(Budget::kMaxValueNesting) + " levels");
  }
}

Value Interp::string(std::string text, bool markup) {
  budget_.check_text(text.size());
  budget_.text_work(text.size());
  size_t bytes = text.capacity() + sizeof(StringObject);
  auto object = std::make_shared<StringObject>(std::move(text));
  adopt(*object, bytes);
  return Value(Kind::kString, std::move(object)).with_markup(markup);
}

Value Interp::big(BigInt value) {
  if (auto small = value.to_int64()) return Value::integer(*small);
  auto object = std::make_shared<BigIntObject>(std::move(value));
  adopt(*object, sizeof(BigIntObject) + BigInt::kMaxBits / 8);
  return {Kind::kBigInt, std::move(object)};
}

namespace {
uint32_t nesting_above(std::span<const Value> items) {
  uint32_t deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, item.nesting());
  return deepest + 1;
}
}  // namespace

Value Interp::container(Kind kind, std::vector<Value> items) {
  budget_.value_work(items.size());
  auto object = make<ListObject>(items.capacity() * sizeof(Value));
  object->nesting = nesting_above(items);
  check_nesting(object->nesting);
  object->items = std::move(items);
  return {kind, std::move(object)};
}

Value Interp::iterator(std::vector<Value> items, const char* name) {
  budget_.value_work(items.size());
  auto object = make<IteratorObject>(items.capacity() * sizeof(Value));
  object->nesting = nesting_above(items);
  check_nesting(object->nesting);
  object->items = std::move(items);
  object->name = name;
  return {Kind::kIterator, std::move(object)};
}

Value Interp::dict(std::vector<Entry> entries) {
  budget_.value_work(2 * entries.size());
  for (const Entry& entry : entries) check_hashable(entry.first);
  // The order by key, later of equal keys after earlier ones, finds the duplicates.
  std::vector<uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0U);
  merge_sort(order, [&](uint32_t a, uint32_t b) {
    return compare_keys(entries[a].first, entries[b].first) < 0;
  });
  std::vector<bool> dropped(entries.size(), false);
  bool duplicates = false;
  for (size_t i = 0, first = 0; i < order.size(); ++i) {
    if (i == first || compare_keys(entries[order[first]].first, entries[order[i]].first) != 0) {
      first = i;
      continue;
    }
    entries[order[first]].second = entries[order[i]].second;
    dropped[order[i]] = duplicates = true;
  }
  if (duplicates) {
    std::vector<Entry> unique;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (!dropped[i]) unique.push_back(std::move(entries[i]));
    }
    return dict(std::move(unique));
  }
  auto object = make<DictObject>(entries.capacity() * sizeof(Entry) + order.size() * 4);
  uint32_t deepest = 0;
  for (const Entry& entry : entries) {
    deepest = std::max({deepest, entry.first.nesting(), entry.second.nesting()});
  }
  object->nesting = deepest + 1;
  check_nesting(object->nesting);
  object->entries = std::move(entries);
  if (object->entries.size() > DictObject::kLinear) object->sorted = std::move(order);
  return {Kind::kDict, std::move(object)};
}

Value Interp::view(const Value& dict, ViewKind kind) {
  auto object = make<ViewObject>();
  object->nesting = dict.nesting() + 1;
  object->dict = dict;
  object->view = kind;
  return {Kind::kView, std::move(object)};
}

Value Interp::range(int64_t start, int64_t stop, int64_t step) {
  constexpr Int128 kMaxRange = 100'000;  // a loop over more is no chat template
  if (step == 0) runtime_fault("range() arg 3 must not be zero");
  Int128 span = step > 0 ? static_cast<Int128>(stop) - start : static_cast<Int128>(start) - stop;
  Int128 stride = step > 0 ? static_cast<Int128>(step) : -static_cast<Int128>(step);
  Int128 length = span <= 0 ? 0 : (span + stride - 1) / stride;
  if (length > kMaxRange) {
    limit_fault("Range too big. The sandbox blocks ranges larger than 100000 items.");
  }
  auto object = make<RangeObject>();
  object->start = start;
  object->stop = stop;
  object->step = step;
  object->length = static_cast<int64_t>(length);
  return {Kind::kRange, std::move(object)};
}

Value Interp::undefined(std::string message, bool unsafe) {
  auto object = make<UndefinedObject>(message.capacity());
  object->message = std::move(message);
  object->unsafe = unsafe;
  return {Kind::kUndefined, std::move(object)};
}

Value Interp::method(const Value& self, std::string_view name, MethodFn function) {
  auto object = make<MethodObject>();
  object->name = name;
  object->nesting = self.nesting() + 1;
  check_nesting(object->nesting);
  object->self = self;
  object->function = function;
  return {Kind::kCallable, std::move(object)};
}

Value Interp::from_json(const OrderedJson& json, uint32_t depth) {
  check_nesting(depth);
  switch (json.type()) {
    case OrderedJson::value_t::null:
    case OrderedJson::value_t::discarded:
      return Value::none();
    case OrderedJson::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case OrderedJson::value_t::number_unsigned: {
      auto number = json.get<uint64_t>();
      if (number <= INT64_MAX) return Value::integer(static_cast<int64_t>(number));
      return big(*BigInt::parse(std::to_string(number), 10));
    }
    case OrderedJson::value_t::number_float:
      return Value::real(json.get<double>());
    case OrderedJson::value_t::string:
      return string(json.get_ref<const std::string&>());
    case OrderedJson::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const OrderedJson& item : json) items.push_back(from_json(item, depth + 1));
      return list(std::move(items));
    }
    case OrderedJson::value_t::object: {
      std::vector<Entry> entries;
      entries.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        entries.emplace_back(string(key), from_json(item, depth + 1));
      }
      return dict(std::move(entries));
    }
    case OrderedJson::value_t::binary:
      runtime_fault("a binary value has no form in a template");
  }
  return Value::none();
}

}  // namespace hearth::jinja
