// Attributes, items and slices.

#include <algorithm>

#include "server/chat/interp.h"
#include "server/chat/operators.h"
#include "server/chat/printing.h"
#include "server/chat/unicode.h"

namespace hearth::jinja {
namespace {

/// "'dict object' has no attribute 'x'"
Value missing(Interp& interp, const Value& object, const Value& key) {
  std::string owner = object.is_none() ? "None" : std::string(type_name(object)) + " object";
  if (key.is_string()) {
    return interp.undefined("'" + owner + "' has no attribute " + repr_of(interp, key));
  }
  return interp.undefined(owner + " has no element " + repr_of(interp, key));
}

Value unsafe_attribute(Interp& interp, const Value& object, const std::string& name) {
  return interp.undefined(
      "access to attribute '" + name + "' of '" + type_name(object) + "' object is unsafe.", true);
}

Value loop_attribute(const LoopObject& loop, std::string_view name, Interp& interp) {
  auto index = static_cast<int64_t>(loop.index);
  auto length = static_cast<int64_t>(loop.items.size());
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(length - index);
  if (name == "revindex0") return Value::integer(length - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 >= length);
  if (name == "length") return Value::integer(length);
  if (name == "depth") return Value::integer(loop.depth + 1);
  if (name == "depth0") return Value::integer(loop.depth);
  if (name == "previtem") {
    if (index == 0) return interp.undefined("there is no previous item");
    return loop.items[static_cast<size_t>(index - 1)];
  }
  if (name == "nextitem") {
    if (index + 1 >= length) return interp.undefined("there is no next item");
    return loop.items[static_cast<size_t>(index + 1)];
  }
  return {};
}

Value macro_attribute(const MacroObject& macro, std::string_view name, Interp& interp,
                      const std::vector<std::string>& names) {
  if (name == "name") return interp.string(macro.name);
  if (name == "catch_varargs") return Value::boolean(macro.macro->uses_varargs);
  if (name == "catch_kwargs") return Value::boolean(macro.macro->uses_kwargs);
  if (name == "caller") return Value::boolean(macro.macro->uses_caller);
  if (name == "arguments") {
    std::vector<Value> parameters;
    for (const Parameter& parameter : macro.macro->parameters) {
      parameters.push_back(interp.string(names[parameter.name]));
    }
    return interp.tuple(std::move(parameters));
  }
  return {};
}

/// What Python's getattr gives; undefined without a reason if there is no such attribute.
Value native_attribute(Interp& interp, const Value& object, const std::string& name) {
  if (object.is(Kind::kNamespace)) {
    auto& space = object.object<NamespaceObject>();
    interp.budget().value_work(space.attributes.size());
    const Value* value = space.find(name);
    return value != nullptr ? *value : Value();
  }
  if (object.is(Kind::kTuple) && object.object<ListObject>().group) {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  }
  if (object.is(Kind::kLoop)) {
    Value value = loop_attribute(object.object<LoopObject>(), name, interp);
    if (!value.is_undefined() || value.pointer() != nullptr) return value;
  }
  if (object.is(Kind::kCallable)) {
    if (const auto* macro = dynamic_cast<const MacroObject*>(object.pointer().get())) {
      return macro_attribute(*macro, name, interp, interp.names());
    }
    if (const auto* cycler = dynamic_cast<const CyclerObject*>(object.pointer().get())) {
      if (name == "current") return cycler->items[cycler->at];
    }
  }
  MethodFn method =
      object.is_string() ? find_string_method(name) : find_container_method(object, name);
  if (method != nullptr) return interp.method(object, name, method);
  return {};
}

/// obj[key] as Python has it; undefined without a reason for a key or index that is not there.
Value native_item(Interp& interp, const Value& object, const Value& key) {
  switch (object.kind()) {
    case Kind::kDict: {
      if (key.is(Kind::kList) || key.is(Kind::kDict)) return {};
      const Value* value = object.dict().find(key);
      return value != nullptr ? *value : Value();
    }
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      break;
    default:
      return {};
  }
  if (!key.is(Kind::kInt) && !key.is(Kind::kBool)) return {};
  int64_t length = length_of(interp, object);
  int64_t index = key.as_int() < 0 ? key.as_int() + length : key.as_int();
  if (index < 0 || index >= length) return {};
  if (object.is(Kind::kRange)) return Value::integer(object.object<RangeObject>().at(index));
  if (!object.is_string()) return object.items()[static_cast<size_t>(index)];
  const StringObject& text = object.string_object();
  auto at = static_cast<size_t>(index);
  if (!text.ascii()) {
    interp.budget().step(at / 256);
    at = bytes_of_chars(text.text, at);
  }
  std::string_view rest = std::string_view(text.text).substr(at);
  return interp.string(std::string(rest.substr(0, next_char(rest).bytes)), object.markup());
}

bool found(const Value& value) { return !value.is_undefined() || value.pointer() != nullptr; }

}  // namespace

Value* NamespaceObject::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value get_attribute(Interp& interp, const Value& object, const Value& name) {
  if (object.is_undefined()) fault_undefined(object);
  const std::string& text = name.text();
  if (text.starts_with("__") || is_mutating_method(object, text)) {
    if (object.is(Kind::kDict)) {
      // A key of that name is no danger, but Python finds the method first, and so do we.
      const Value* value = object.dict().find(text);
      if (value != nullptr && !is_mutating_method(object, text)) return *value;
    }
    return unsafe_attribute(interp, object, text);
  }
  if (Value value = native_attribute(interp, object, text); found(value)) return value;
  if (Value value = native_item(interp, object, name); found(value)) return value;
  return missing(interp, object, name);
}

Value get_item(Interp& interp, const Value& object, const Value& key) {
  if (object.is_undefined()) fault_undefined(object);
  if (Value value = native_item(interp, object, key); found(value)) return value;
  if (key.is_string()) {
    if (key.text().starts_with("__") || is_mutating_method(object, key.text())) {
      return unsafe_attribute(interp, object, key.text());
    }
    if (Value value = native_attribute(interp, object, key.text()); found(value)) return value;
  }
  return missing(interp, object, key);
}

namespace {

/// Python's slice.indices: start, stop and step over `length` items.
struct SliceRange {
  int64_t start, stop, step;
};

SliceRange slice_range(int64_t length, const Value& start, const Value& stop, const Value& step) {
  auto clamp_index = [](const Value& value) -> int64_t {
    if (value.is(Kind::kBigInt)) {
      return value.object<BigIntObject>().value.negative() ? INT64_MIN / 2 : INT64_MAX / 2;
    }
    if (!value.is_integral()) {
      if (value.is_undefined()) fault_undefined(value);
      runtime_fault("slice indices must be integers or None or have an __index__ method");
    }
    return std::clamp(value.as_int(), INT64_MIN / 2, INT64_MAX / 2);
  };
  SliceRange out{0, length, 1};
  if (!step.is_none()) out.step = clamp_index(step);
  if (out.step == 0) runtime_fault("slice step cannot be zero");
  bool back = out.step < 0;
  auto bound = [&](const Value& value, int64_t fallback) {
    if (value.is_none()) return fallback;
    int64_t index = clamp_index(value);
    if (index < 0) index += length;
    return std::clamp<int64_t>(index, back ? -1 : 0, back ? length - 1 : length);
  };
  out.start = bound(start, back ? length - 1 : 0);
  out.stop = bound(stop, back ? -1 : length);
  return out;
}

int64_t slice_count(const SliceRange& range) {
  int64_t span = range.step > 0 ? range.stop - range.start : range.start - range.stop;
  int64_t stride = std::abs(range.step);
  return span <= 0 ? 0 : (span + stride - 1) / stride;
}

Value slice_string(Interp& interp, const Value& object, const SliceRange& range, int64_t count) {
  const StringObject& text = object.string_object();
  if (count == 0) return interp.string("", object.markup());
  if (text.ascii()) {
    if (range.step == 1) {
      return interp.string(
          text.text.substr(static_cast<size_t>(range.start), static_cast<size_t>(count)),
          object.markup());
    }
    TextBuilder out(interp.budget());
    interp.budget().step(static_cast<uint64_t>(count) / 64);
    for (int64_t i = 0; i < count; ++i) {
      out << text.text[static_cast<size_t>(range.start + i * range.step)];
    }
    return interp.string(out.take(), object.markup());
  }
  interp.budget().step(text.text.size() / 64);
  if (range.step == 1) {
    size_t begin = bytes_of_chars(text.text, static_cast<size_t>(range.start));
    std::string_view rest = std::string_view(text.text).substr(begin);
    rest = rest.substr(0, bytes_of_chars(rest, static_cast<size_t>(count)));
    return interp.string(std::string(rest), object.markup());
  }
  std::vector<uint32_t> starts;  // texts are far below 4 GiB
  interp.budget().retain(text.length() * 4);
  for (size_t at = 0; at < text.text.size();) {
    starts.push_back(static_cast<uint32_t>(at));
    at += next_char(std::string_view(text.text).substr(at)).bytes;
  }
  TextBuilder out(interp.budget());
  for (int64_t i = 0; i < count; ++i) {
    std::string_view rest(text.text);
    rest.remove_prefix(starts[static_cast<size_t>(range.start + i * range.step)]);
    out << rest.substr(0, next_char(rest).bytes);
  }
  interp.budget().release(text.length() * 4);
  return interp.string(out.take(), object.markup());
}

}  // namespace

Value get_slice(Interp& interp, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  if (object.is_undefined()) fault_undefined(object);
  if (!object.is_string() && !object.is_list_like() && !object.is(Kind::kRange)) {
    runtime_fault(object.is(Kind::kDict)
                      ? "unhashable type: 'slice'"
                      : std::string("'") + type_name(object) + "' object is not subscriptable");
  }
  SliceRange range = slice_range(length_of(interp, object), start, stop, step);
  int64_t count = slice_count(range);
  if (object.is_string()) return slice_string(interp, object, range, count);
  if (object.is(Kind::kRange)) {
    const auto& whole = object.object<RangeObject>();
    Int128 stride = static_cast<Int128>(whole.step) * range.step;
    Int128 first = whole.start + static_cast<Int128>(whole.step) * range.start;
    Int128 stop_at = whole.start + static_cast<Int128>(whole.step) * range.stop;
    auto fits = [](Int128 value) { return value >= INT64_MIN && value <= INT64_MAX; };
    if (!fits(stride) || !fits(first) || !fits(stop_at)) limit_fault("a range is too large");
    return interp.range(static_cast<int64_t>(first), static_cast<int64_t>(stop_at),
                        static_cast<int64_t>(stride));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    items.push_back(object.items()[static_cast<size_t>(range.start + i * range.step)]);
  }
  return object.is(Kind::kList) ? interp.list(std::move(items)) : interp.tuple(std::move(items));
}

}  // namespace hearth::jinja
