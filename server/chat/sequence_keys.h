#pragma once
// What sorting, grouping and selecting filters look at in each item.

#include <vector>

#include "server/chat/interp.h"

namespace hearth::jinja {

/// "a.b.0" or a number: where in each item a filter looks.
class AttributePath {
 public:
  explicit AttributePath(const Value& path);
  /// The item's attribute; `fallback`, if given, for each undefined step.
  [[nodiscard]] Value get(Interp& interp, const Value& item, const Value* fallback = nullptr) const;

 private:
  std::vector<Value> parts_;
};

/// Lower case, if `value` is a string.
Value ignore_case(Interp& interp, const Value& value);

/// Indices of `keys` in stable order; faults where less() does.
std::vector<size_t> sorted_order(Interp& interp, const std::vector<Value>& keys, bool reverse);

}  // namespace hearth::jinja
