#include "server/chat/big_int.h"

#include <algorithm>
#include <cmath>

#include "server/chat/template_error.h"

namespace hearth::jinja {

BigInt::BigInt(int64_t value) : negative_(value < 0) {
  uint64_t magnitude = negative_ ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  for (; magnitude != 0; magnitude >>= 32) limbs_.push_back(static_cast<uint32_t>(magnitude));
}

std::optional<BigInt> BigInt::parse(std::string_view digits, int base) {
  if (digits.empty() || digits.size() > kMaxBits) return std::nullopt;
  BigInt out;
  for (char c : digits) {
    int digit = 99;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'z') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') digit = c - 'A' + 10;
    if (digit >= base) return std::nullopt;
    uint64_t carry = static_cast<uint64_t>(digit);
    for (uint32_t& limb : out.limbs_) {
      carry += static_cast<uint64_t>(limb) * static_cast<uint64_t>(base);
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) out.limbs_.push_back(static_cast<uint32_t>(carry));
    if (out.limbs_.size() * 32 > kMaxBits) return std::nullopt;
  }
  return out;
}

std::optional<BigInt> BigInt::from_double(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  int exponent = 0;
  double fraction = std::frexp(std::fabs(std::trunc(value)), &exponent);
  auto mantissa = static_cast<int64_t>(std::ldexp(fraction, 53));
  exponent -= 53;
  BigInt out(mantissa);
  for (; exponent < 0 && !out.zero(); ++exponent) out.divide_small(2);
  if (exponent > 0) out = out * pow(BigInt(2), static_cast<uint64_t>(exponent));
  out.negative_ = value < 0 && !out.zero();
  return out;
}

std::optional<int64_t> BigInt::to_int64() const {
  if (limbs_.size() > 2) return std::nullopt;
  uint64_t magnitude = 0;
  for (size_t i = limbs_.size(); i-- > 0;) magnitude = magnitude << 32 | limbs_[i];
  constexpr uint64_t kTop = uint64_t{1} << 63;
  if (magnitude > kTop || (magnitude == kTop && !negative_)) return std::nullopt;
  return static_cast<int64_t>(negative_ ? 0 - magnitude : magnitude);
}

double BigInt::to_double() const {
  double out = 0;
  for (size_t i = limbs_.size(); i-- > 0;) out = out * 4294967296.0 + limbs_[i];
  return negative_ ? -out : out;
}

std::string BigInt::to_string() const {
  if (zero()) return "0";
  std::string out;
  BigInt rest = *this;
  while (!rest.zero()) {
    uint32_t part = rest.divide_small(1'000'000'000);
    for (int i = 0; i < 9 && (part != 0 || !rest.zero()); ++i, part /= 10) {
      out += static_cast<char>('0' + part % 10);
    }
  }
  if (negative_) out += '-';
  std::reverse(out.begin(), out.end());
  return out;
}

BigInt BigInt::negated() const {
  BigInt out = *this;
  out.negative_ = !negative_ && !zero();
  return out;
}

void BigInt::trim() {
  while (!limbs_.empty() && limbs_.back() == 0) limbs_.pop_back();
  if (limbs_.empty()) negative_ = false;
  if (limbs_.size() * 32 > kMaxBits) limit_fault("an integer of the template is too large");
}

uint32_t BigInt::divide_small(uint32_t divisor) {
  uint64_t rest = 0;
  for (size_t i = limbs_.size(); i-- > 0;) {
    rest = rest << 32 | limbs_[i];
    limbs_[i] = static_cast<uint32_t>(rest / divisor);
    rest %= divisor;
  }
  trim();
  return static_cast<uint32_t>(rest);
}

int BigInt::compare_magnitude(const BigInt& a, const BigInt& b) {
  if (a.limbs_.size() != b.limbs_.size()) return a.limbs_.size() < b.limbs_.size() ? -1 : 1;
  for (size_t i = a.limbs_.size(); i-- > 0;) {
    if (a.limbs_[i] != b.limbs_[i]) return a.limbs_[i] < b.limbs_[i] ? -1 : 1;
  }
  return 0;
}

BigInt BigInt::add_magnitude(const BigInt& a, const BigInt& b) {
  BigInt out;
  uint64_t carry = 0;
  for (size_t i = 0; i < std::max(a.limbs_.size(), b.limbs_.size()) || carry != 0; ++i) {
    if (i < a.limbs_.size()) carry += a.limbs_[i];
    if (i < b.limbs_.size()) carry += b.limbs_[i];
    out.limbs_.push_back(static_cast<uint32_t>(carry));
    carry >>= 32;
  }
  return out;
}

BigInt BigInt::subtract_magnitude(const BigInt& a, const BigInt& b) {
  BigInt out = a;
  int64_t borrow = 0;
  for (size_t i = 0; i < out.limbs_.size(); ++i) {
    int64_t digit = static_cast<int64_t>(out.limbs_[i]) - borrow -
                    (i < b.limbs_.size() ? static_cast<int64_t>(b.limbs_[i]) : 0);
    borrow = digit < 0 ? 1 : 0;
    out.limbs_[i] = static_cast<uint32_t>(digit);
  }
  return out;
}

BigInt operator+(const BigInt& a, const BigInt& b) {
  BigInt out;
  if (a.negative_ == b.negative_) {
    out = BigInt::add_magnitude(a, b);
    out.negative_ = a.negative_;
  } else {
    bool a_larger = BigInt::compare_magnitude(a, b) >= 0;
    out = a_larger ? BigInt::subtract_magnitude(a, b) : BigInt::subtract_magnitude(b, a);
    out.negative_ = a_larger ? a.negative_ : b.negative_;
  }
  out.trim();
  return out;
}

BigInt operator-(const BigInt& a, const BigInt& b) { return a + b.negated(); }

BigInt operator*(const BigInt& a, const BigInt& b) {
  BigInt out;
  out.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
  for (size_t i = 0; i < a.limbs_.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.limbs_.size() || carry != 0; ++j) {
      carry += out.limbs_[i + j];
      if (j < b.limbs_.size()) carry += static_cast<uint64_t>(a.limbs_[i]) * b.limbs_[j];
      out.limbs_[i + j] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }
  out.negative_ = a.negative_ != b.negative_;
  out.trim();
  return out;
}

std::pair<BigInt, BigInt> BigInt::divmod(const BigInt& a, const BigInt& b) {
  BigInt quotient;
  BigInt rest;
  quotient.limbs_.assign(a.limbs_.size(), 0);
  BigInt divisor = b;
  divisor.negative_ = false;
  // One bit at a time: a few hundred limbs at most, and hardly ever used.
  for (size_t bit = a.limbs_.size() * 32; bit-- > 0;) {
    rest = add_magnitude(rest, rest);
    if ((a.limbs_[bit / 32] >> (bit % 32) & 1) != 0) rest = add_magnitude(rest, BigInt(1));
    rest.trim();
    if (compare_magnitude(rest, divisor) >= 0) {
      rest = subtract_magnitude(rest, divisor);
      rest.trim();
      quotient.limbs_[bit / 32] |= 1U << (bit % 32);
    }
  }
  quotient.negative_ = a.negative_ != b.negative_;
  quotient.trim();
  rest.negative_ = a.negative_ && !rest.zero();
  if (!rest.zero() && rest.negative_ != b.negative_) {  // towards minus infinity
    quotient = quotient - BigInt(1);
    rest = rest + b;
  }
  return {quotient, rest};
}

BigInt BigInt::pow(const BigInt& base, uint64_t exponent) {
  BigInt out(1);
  BigInt square = base;
  while (exponent != 0) {
    if ((exponent & 1) != 0) out = out * square;
    exponent >>= 1;
    if (exponent != 0) square = square * square;
  }
  return out;
}

std::strong_ordering operator<=>(const BigInt& a, const BigInt& b) {
  if (a.negative_ != b.negative_) {
    return a.negative_ ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  int order = BigInt::compare_magnitude(a, b);
  if (a.negative_) order = -order;
  return order <=> 0;
}

}  // namespace hearth::jinja
