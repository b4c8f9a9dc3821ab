// Methods of dicts, lists, loops and other objects that are not strings.

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "server/chat/bound_args.h"
#include "server/chat/operators.h"

namespace hearth::jinja {
namespace {

using MethodTable = std::unordered_map<std::string_view, MethodFn>;

Value dict_get(Interp&, const Value& self, Args& args) {
  BoundArgs bound("get", args, {"key", "default"}, 1);
  check_hashable(bound[0]);
  if (const Value* value = self.dict().find(bound[0])) return *value;
  return bound.get(1, Value::none());
}
Value dict_items(Interp& interp, const Value& self, Args& args) {
  BoundArgs("items", args, {});
  return interp.view(self, ViewKind::kItems);
}
Value dict_keys(Interp& interp, const Value& self, Args& args) {
  BoundArgs("keys", args, {});
  return interp.view(self, ViewKind::kKeys);
}
Value dict_values(Interp& interp, const Value& self, Args& args) {
  BoundArgs("values", args, {});
  return interp.view(self, ViewKind::kValues);
}
/// Dicts and lists never change, so a copy is the thing itself.
Value copy(Interp&, const Value& self, Args& args) {
  BoundArgs("copy", args, {});
  return self;
}

Value sequence_index(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("index", args, {"value", "start", "stop"}, 1);
  auto length = static_cast<int64_t>(self.items().size());
  auto position = [&](size_t i, int64_t fallback) {
    int64_t at = bound.integer(i, fallback);
    return std::clamp<int64_t>(at < 0 ? at + length : at, 0, length);
  };
  int64_t stop = position(2, length);
  for (int64_t i = position(1, 0); i < stop; ++i) {
    if (equals(interp, self.items()[static_cast<size_t>(i)], bound[0])) return Value::integer(i);
  }
  runtime_fault("the value is not in the list");
}

Value sequence_count(Interp& interp, const Value& self, Args& args) {
  BoundArgs bound("count", args, {"value"}, 1);
  return Value::integer(
      std::count_if(self.items().begin(), self.items().end(),
                    [&](const Value& item) { return equals(interp, item, bound[0]); }));
}

Value float_is_integer(Interp&, const Value& self, Args& args) {
  BoundArgs("is_integer", args, {});
  return Value::boolean(std::isfinite(self.as_real()) &&
                        self.as_real() == std::trunc(self.as_real()));
}

Value int_bit_length(Interp&, const Value& self, Args& args) {
  BoundArgs("bit_length", args, {});
  uint64_t magnitude = self.as_int() < 0 ? 0 - static_cast<uint64_t>(self.as_int())
                                         : static_cast<uint64_t>(self.as_int());
  return Value::integer(magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude));
}

Value loop_cycle(Interp&, const Value& self, Args& args) {
  if (args.positional.empty()) runtime_fault("no items for cycling given");
  return args.positional[self.object<LoopObject>().index % args.positional.size()];
}

Value loop_changed(Interp& interp, const Value& self, Args& args) {
  auto& loop = self.object<LoopObject>();
  Value now = interp.tuple(args.positional);
  if (loop.changed.is(Kind::kTuple) && equals(interp, loop.changed, now)) {
    return Value::boolean(false);
  }
  // The loop may be stored in what it compares later; its nesting covers what it holds.
  loop.nesting = std::max(loop.nesting, now.nesting() + 1);
  interp.check_nesting(loop.nesting);
  loop.changed = now;
  return Value::boolean(true);
}

Value cycler_next(Interp&, const Value& self, Args& args) {
  BoundArgs("next", args, {});
  auto& cycler = self.object<CyclerObject>();
  Value out = cycler.items[cycler.at];
  cycler.at = (cycler.at + 1) % cycler.items.size();
  return out;
}

Value cycler_reset(Interp&, const Value& self, Args& args) {
  BoundArgs("reset", args, {});
  self.object<CyclerObject>().at = 0;
  return Value::none();
}

const MethodTable* table_of(const Value& object) {
  static const MethodTable kDict = {{"get", dict_get},
                                    {"items", dict_items},
                                    {"keys", dict_keys},
                                    {"values", dict_values},
                                    {"copy", copy}};
  static const MethodTable kList = {
      {"index", sequence_index}, {"count", sequence_count}, {"copy", copy}};
  static const MethodTable kTuple = {{"index", sequence_index}, {"count", sequence_count}};
  static const MethodTable kFloat = {{"is_integer", float_is_integer}};
  static const MethodTable kInt = {{"bit_length", int_bit_length}};
  static const MethodTable kLoop = {{"cycle", loop_cycle}, {"changed", loop_changed}};
  static const MethodTable kCycler = {{"next", cycler_next}, {"reset", cycler_reset}};
  switch (object.kind()) {
    case Kind::kDict:
      return &kDict;
    case Kind::kList:
      return &kList;
    case Kind::kTuple:
      return &kTuple;
    case Kind::kFloat:
      return &kFloat;
    case Kind::kInt:
    case Kind::kBool:
      return &kInt;
    case Kind::kLoop:
      return &kLoop;
    case Kind::kCallable:
      return dynamic_cast<CyclerObject*>(object.pointer().get()) != nullptr ? &kCycler : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace

MethodFn find_container_method(const Value& object, std::string_view name) {
  const MethodTable* table = table_of(object);
  if (table == nullptr) return nullptr;
  auto it = table->find(name);
  return it != table->end() ? it->second : nullptr;
}

bool is_mutating_method(const Value& object, std::string_view name) {
  auto among = [name](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (object.is(Kind::kDict)) return among({"clear", "pop", "popitem", "setdefault", "update"});
  if (object.is(Kind::kList)) {
    return among({"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"});
  }
  return false;
}

}  // namespace hearth::jinja
