#pragma once
// Python's operators on values.

#include <span>
#include <vector>

#include "server/chat/ast.h"
#include "server/chat/interp.h"

namespace hearth::jinja {

bool truthy(const Value& value);
bool equals(Interp& interp, const Value& a, const Value& b);
/// a < b and the like: faults for types that have no order.
bool less(Interp& interp, const Value& a, const Value& b);
bool contains(Interp& interp, const Value& container, const Value& item);
bool compare(Interp& interp, Op op, const Value& a, const Value& b);
Value arithmetic(Interp& interp, Op op, const Value& a, const Value& b);
Value negate(Interp& interp, const Value& value);
Value plus(Interp& interp, const Value& value);

/// Faults with an undefined value's own message.
[[noreturn]] void fault_undefined(const Value& value);
/// "'x' is undefined", or what else the value says of itself.
std::string undefined_message(const Value& value);

/// len(value); faults if it has none.
int64_t length_of(Interp& interp, const Value& value);

/// What iterating over a value gives. Lists are viewed, other things are expanded; an iterator is
/// used up.
class Items {
 public:
  /// `unpacking`: how to complain about values that cannot be iterated; empty: as for loops do.
  Items(Interp& interp, const Value& value, const char* unpacking = "");
  [[nodiscard]] size_t size() const { return span().size(); }
  [[nodiscard]] const Value& operator[](size_t i) const { return span()[i]; }
  [[nodiscard]] std::span<const Value> span() const {
    return viewed_ ? std::span<const Value>(keep_.items()) : std::span<const Value>(owned_);
  }
  [[nodiscard]] auto begin() const { return span().begin(); }
  [[nodiscard]] auto end() const { return span().end(); }
  /// The expanded items; empty if the value is a list and only viewed.
  [[nodiscard]] std::vector<Value> take_owned() { return std::move(owned_); }
  [[nodiscard]] std::vector<Value> to_vector() const { return {begin(), end()}; }

 private:
  Value keep_;
  bool viewed_ = false;
  std::vector<Value> owned_;
};

/// Whether Items takes the value.
bool iterable(const Value& value);

/// An int of Python as int64; faults naming `what` if it is none or too large.
int64_t to_index(const Value& value, const char* what);
double to_double(const Value& value);
BigInt to_big(const Value& value);

}  // namespace hearth::jinja
