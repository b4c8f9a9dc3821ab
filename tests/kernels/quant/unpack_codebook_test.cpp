// Types that unpack through tables or digits, against blocks whose values come from elsewhere.

#include "kernels/quant/unpack_codebook.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/quant/dequantize.h"
#include "tests/kernels/quant/support_golden_blocks.h"

namespace hearth::quant {
namespace {

std::vector<uint8_t> bytes_of(std::string_view hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

TEST_CASE("random blocks have the values that an independent implementation reads") {
  for (const test::GoldenBlocks& golden : test::kGoldenBlocks) {
    const DTypeInfo& info = dtype_info(golden.dtype);
    CAPTURE(info.name);
    const auto bytes = bytes_of(golden.hex);
    const auto count = static_cast<int64_t>(golden.values.size());
    REQUIRE(bytes.size() == row_bytes(golden.dtype, count));
    std::vector<float> values(golden.values.size());
    dequantize_row(golden.dtype, bytes.data(), values.data(), count);
    for (size_t i = 0; i < values.size(); ++i) {
      CAPTURE(i);
      CHECK(values[i] == static_cast<float>(golden.values[i]));
    }
  }
}

TEST_CASE("seven signs get an eighth that makes their number even") {
  for (uint32_t first = 0; first < 128; ++first) {
    const uint32_t others[3] = {127 - first, first ^ 85, first * 37 % 128};
    const uint32_t packed = first | others[0] << 7 | others[1] << 14 | others[2] << 21;
    for (const uint32_t above : {0U, 0xF0000000U}) {  // IQ2_XXS has a scale there
      const uint32_t signs = even_signs(packed | above);
      CHECK((signs & 127) == first);
      for (int v = 0; v < 4; ++v) {
        CHECK(std::popcount(signs >> (8 * v) & 255) % 2 == 0);
        if (v > 0) CHECK((signs >> (8 * v) & 127) == others[v - 1]);
      }
    }
  }
}

TEST_CASE("MXFP4: every exponent, the subnormal ones too") {
  for (int e = 0; e < 256; ++e)
    CHECK(mxfp4_scale(static_cast<uint8_t>(e)) == std::ldexp(1.0F, e - 128));
}

TEST_CASE("TQ1_0: the byte of five digits gives each of them back") {
  for (int number = 0; number < 243; ++number) {
    BlockTQ1_0 block{};
    block.d = 0x3C00;
    block.qs[5] = static_cast<uint8_t>((number * 256 + 242) / 243);
    float values[256];
    dequantize_row(DType::kTQ1_0, &block, values, 256);
    int divisor = 81;
    for (int n = 0; n < 5; ++n, divisor /= 3)
      CHECK(values[32 * n + 5] == static_cast<float>(number / divisor % 3 - 1));
  }
}

}  // namespace
}  // namespace hearth::quant
