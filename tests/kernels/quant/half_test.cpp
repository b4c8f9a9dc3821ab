#include "kernels/quant/half.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace hearth {
namespace {

// The definition: sign, exponent and mantissa, computed in double.
double f16_by_definition(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent == 31)
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST_CASE("every f16 widens exactly and comes back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float wide = f16_to_f32(half);
    const double expected = f16_by_definition(half);
    if (std::isnan(expected)) {
      REQUIRE(std::isnan(wide));
      REQUIRE(std::isnan(f16_to_f32(f32_to_f16(wide))));
    } else {
      REQUIRE(static_cast<double>(wide) == expected);
      REQUIRE(f32_to_f16(wide) == half);
    }
  }
}

TEST_CASE("f32 to f16 rounds to nearest, ties to even") {
  for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {  // neighbours of all magnitudes
    const auto low = static_cast<uint16_t>(bits);
    const float a = f16_to_f32(low);
    const float b = f16_to_f32(static_cast<uint16_t>(bits + 1));
    const float middle = a + (b - a) / 2.0F;  // exact: one more bit than f16 has
    const auto even = static_cast<uint16_t>((bits % 2 == 0) ? bits : bits + 1);
    REQUIRE(f32_to_f16(middle) == even);
    REQUIRE(f32_to_f16(std::nextafterf(middle, a)) == low);
    REQUIRE(f32_to_f16(std::nextafterf(middle, b)) == bits + 1);
    REQUIRE(f32_to_f16(-middle) == (even | 0x8000));
  }
  CHECK(f32_to_f16(65519.996F) == 0x7BFF);
  CHECK(f32_to_f16(65520.0F) == 0x7C00);
  CHECK(f32_to_f16(-std::numeric_limits<float>::infinity()) == 0xFC00);
  CHECK(f32_to_f16(1e-30F) == 0);
}

TEST_CASE("bf16 is the upper half of an f32, rounded to nearest even") {
  CHECK(bf16_to_f32(0x3F80) == 1.0F);
  CHECK(f32_to_bf16(1.0F) == 0x3F80);
  CHECK(f32_to_bf16(float_from_bits(0x3F808000)) == 0x3F80);  // a tie: to even, down
  CHECK(f32_to_bf16(float_from_bits(0x3F818000)) == 0x3F82);  // a tie: to even, up
  CHECK(f32_to_bf16(float_from_bits(0x3F808001)) == 0x3F81);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(float_from_bits(0x7F800001)))));
}

}  // namespace
}  // namespace hearth
