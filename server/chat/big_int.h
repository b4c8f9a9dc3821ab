#pragma once
// Integers beyond 64 bits: few templates meet them, none may crash on them. At most kMaxBits.

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::jinja {

/// For sums and products of int64 that may not fit one.
__extension__ typedef __int128 Int128;

class BigInt {
 public:
  /// Some 1200 digits: beyond doubles, and a division still takes less than a millisecond.
  static constexpr size_t kMaxBits = 4096;

  BigInt() = default;
  explicit BigInt(int64_t value);
  /// Digits of `base` (2 to 36) without sign or separators; nothing if they are not or are too
  /// many.
  static std::optional<BigInt> parse(std::string_view digits, int base);
  /// The integral part; nothing for infinities and NaN.
  static std::optional<BigInt> from_double(double value);

  [[nodiscard]] bool negative() const { return negative_; }
  [[nodiscard]] bool zero() const { return limbs_.empty(); }
  [[nodiscard]] bool odd() const { return !limbs_.empty() && (limbs_[0] & 1) != 0; }
  [[nodiscard]] std::optional<int64_t> to_int64() const;
  [[nodiscard]] double to_double() const;
  [[nodiscard]] std::string to_string() const;

  [[nodiscard]] BigInt negated() const;
  /// Arithmetic faults (Fault::kLimit) beyond kMaxBits.
  friend BigInt operator+(const BigInt& a, const BigInt& b);
  friend BigInt operator-(const BigInt& a, const BigInt& b);
  friend BigInt operator*(const BigInt& a, const BigInt& b);
  /// Floor division; `b` is not zero. Quotient and remainder of b's sign.
  static std::pair<BigInt, BigInt> divmod(const BigInt& a, const BigInt& b);
  static BigInt pow(const BigInt& base, uint64_t exponent);
  friend std::strong_ordering operator<=>(const BigInt& a, const BigInt& b);
  friend bool operator==(const BigInt& a, const BigInt& b) { return (a <=> b) == 0; }

 private:
  static int compare_magnitude(const BigInt& a, const BigInt& b);
  static BigInt add_magnitude(const BigInt& a, const BigInt& b);
  static BigInt subtract_magnitude(const BigInt& a, const BigInt& b);  // |a| >= |b|
  uint32_t divide_small(uint32_t divisor);                             // in place; remainder
  void trim();

  std::vector<uint32_t> limbs_;  // least significant first, no zero at the end
  bool negative_ = false;
};

}  // namespace hearth::jinja
