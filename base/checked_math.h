#pragma once
// Overflow-checked arithmetic for counts, offsets and lengths that come from outside.

#include <concepts>
#include <limits>
#include <optional>

namespace hearth {

/// a + b, or nothing if it does not fit T.
template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) {
  T out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// a * b, or nothing if it does not fit T.
template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) {
  T out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// The same, or the largest value of T where it does not fit.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T saturating_add(T a, T b) {
  return checked_add(a, b).value_or(std::numeric_limits<T>::max());
}
template <std::unsigned_integral T>
[[nodiscard]] constexpr T saturating_mul(T a, T b) {
  return checked_mul(a, b).value_or(std::numeric_limits<T>::max());
}

/// The smallest multiple of `alignment` (> 0) that is at least `value`, or nothing on overflow.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> checked_align_up(T value, T alignment) {
  auto padded = checked_add<T>(value, alignment - 1);
  if (!padded) return std::nullopt;
  return *padded / alignment * alignment;
}

template <std::integral T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace hearth
