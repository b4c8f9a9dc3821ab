#pragma once
// Arguments of built-in functions, by position or by name.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "server/chat/interp.h"

namespace hearth::jinja {

/// Arguments matched to the parameters `names`. Faults if there are too many, unknown ones, or
/// fewer than the first `required`.
class BoundArgs {
 public:
  BoundArgs(const char* function, const Args& args, std::initializer_list<const char*> names,
            size_t required = 0);

  [[nodiscard]] bool has(size_t i) const { return values_[i] != nullptr; }
  /// True also if the argument is None.
  [[nodiscard]] bool absent(size_t i) const { return !has(i) || values_[i]->is_none(); }
  [[nodiscard]] const Value& operator[](size_t i) const { return *values_[i]; }
  [[nodiscard]] Value get(size_t i, Value fallback) const {
    return has(i) ? *values_[i] : std::move(fallback);
  }
  [[nodiscard]] bool flag(size_t i, bool fallback) const;
  [[nodiscard]] int64_t integer(size_t i, int64_t fallback) const;
  /// A string argument; faults for other types.
  [[nodiscard]] const std::string& text(size_t i) const;

 private:
  const char* function_;
  std::vector<const char*> names_;
  std::vector<const Value*> values_;
};

}  // namespace hearth::jinja
