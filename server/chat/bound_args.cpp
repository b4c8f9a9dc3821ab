#include "server/chat/bound_args.h"

#include <algorithm>

#include "server/chat/operators.h"

namespace hearth::jinja {

BoundArgs::BoundArgs(const char* function, const Args& args,
                     std::initializer_list<const char*> names, size_t required)
    : function_(function), names_(names), values_(names.size(), nullptr) {
  if (args.positional.size() > names_.size()) {
    runtime_fault(std::string(function) + "() takes at most " + std::to_string(names_.size()) +
                  " arguments (" + std::to_string(args.positional.size()) + " given)");
  }
  for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    auto it = std::find_if(names_.begin(), names_.end(),
                           [&name](const char* known) { return name == known; });
    if (it == names_.end()) {
      runtime_fault(std::string(function) + "() got an unexpected keyword argument '" + name + "'");
    }
    const Value*& slot = values_[static_cast<size_t>(it - names_.begin())];
    if (slot != nullptr) {
      runtime_fault(std::string(function) + "() got multiple values for argument '" + name + "'");
    }
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) {
      runtime_fault(std::string(function) + "() missing required argument '" + names_[i] + "'");
    }
  }
}

bool BoundArgs::flag(size_t i, bool fallback) const {
  return has(i) ? truthy(*values_[i]) : fallback;
}

int64_t BoundArgs::integer(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  return to_index(*values_[i],
                  (std::string(function_) + "() argument '" + names_[i] + "'").c_str());
}

const std::string& BoundArgs::text(size_t i) const {
  const Value& value = *values_[i];
  if (value.is_string()) return value.text();
  if (value.is_undefined()) fault_undefined(value);
  runtime_fault(std::string(function_) + "() argument '" + names_[i] + "' must be str, not " +
                type_name(value));
}

}  // namespace hearth::jinja
