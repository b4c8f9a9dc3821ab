// Blocks built by hand from the published layouts, with the values they stand for.

#include "kernels/quant/dequantize.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/quant/blocks.h"
#include "kernels/quant/half.h"
#include "kernels/quant/quantize_weights.h"

namespace hearth::quant {
namespace {

constexpr F16 kOne = 0x3C00;
constexpr F16 kTwo = 0x4000;
constexpr F16 kHalf = 0x3800;

template <typename Block>
std::vector<float> values_of(const Block& block) {
  std::vector<float> out(dtype_info(Block::kType).block_size);
  dequantize_row(Block::kType, &block, out.data(), static_cast<int64_t>(out.size()));
  return out;
}

TEST_CASE_TEMPLATE("block structs have the sizes of the type table", Block, BlockQ4_0, BlockQ4_1,
                   BlockQ5_0, BlockQ5_1, BlockQ8_0, BlockQ2_K, BlockQ3_K, BlockQ4_K, BlockQ5_K,
                   BlockQ6_K, BlockIQ4_NL, BlockIQ4_XS, BlockMXFP4, BlockTQ1_0, BlockTQ2_0,
                   BlockIQ2_XXS, BlockIQ2_XS, BlockIQ2_S, BlockIQ3_XXS, BlockIQ3_S, BlockIQ1_S,
                   BlockIQ1_M) {
  CHECK(sizeof(Block) == dtype_info(Block::kType).block_bytes);
}

TEST_CASE("Q4_0 and Q4_1: half-bytes in pairs (i, i + 16)") {
  BlockQ4_0 a{kHalf, {}};
  BlockQ4_1 b{kTwo, kOne, {}};
  for (uint8_t i = 0; i < 16; ++i) {
    a.qs[i] = static_cast<uint8_t>(i | ((15 - i) << 4));
    b.qs[i] = a.qs[i];
  }
  const auto va = values_of(a);
  const auto vb = values_of(b);
  for (int i = 0; i < 16; ++i) {
    const auto at = static_cast<size_t>(i);
    CHECK(va[at] == 0.5F * static_cast<float>(i - 8));
    CHECK(va[at + 16] == 0.5F * static_cast<float>(7 - i));
    CHECK(vb[at] == 2.0F * static_cast<float>(i) + 1.0F);
    CHECK(vb[at + 16] == 2.0F * static_cast<float>(15 - i) + 1.0F);
  }
}

TEST_CASE("Q5_0 and Q5_1: the fifth bit of element i is bit i of qh") {
  BlockQ5_0 a{kOne, {}, {}};
  BlockQ5_1 b{kOne, kHalf, {}, {}};
  for (int i = 0; i < 16; ++i) a.qs[i] = static_cast<uint8_t>(i);
  a.qh[0] = 0x02;  // element 1
  a.qh[2] = 0x08;  // element 19
  a.qh[3] = 0x80;  // element 31
  std::memcpy(b.qs, a.qs, sizeof(a.qs));
  std::memcpy(b.qh, a.qh, sizeof(a.qh));
  const auto va = values_of(a);
  const auto vb = values_of(b);
  for (int i = 0; i < 32; ++i) {
    const int code = (i < 16 ? i : 0) + ((i == 1 || i == 19 || i == 31) ? 16 : 0);
    CHECK(va[static_cast<size_t>(i)] == static_cast<float>(code - 16));
    CHECK(vb[static_cast<size_t>(i)] == static_cast<float>(code) + 0.5F);
  }
}

TEST_CASE("Q8_0 and IQ4_NL") {
  BlockQ8_0 a{kTwo, {}};
  for (int i = 0; i < 32; ++i) a.qs[i] = static_cast<int8_t>(i * 8 - 128);
  const auto va = values_of(a);
  for (int i = 0; i < 32; ++i)
    CHECK(va[static_cast<size_t>(i)] == 2.0F * static_cast<float>(i * 8 - 128));
  constexpr std::array<float, 16> kTable = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
  BlockIQ4_NL b{kOne, {}};
  for (int i = 0; i < 16; ++i) b.qs[i] = static_cast<uint8_t>(i | ((15 - i) << 4));
  const auto vb = values_of(b);
  for (size_t i = 0; i < 16; ++i) {
    CHECK(vb[i] == kTable[i]);
    CHECK(vb[i + 16] == kTable[15 - i]);
  }
}

TEST_CASE("Q2_K: two bits, scale and minimum for 16 values") {
  BlockQ2_K block{};
  block.d = kOne;
  block.dmin = kHalf;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<uint8_t>(g | ((15 - g) << 4));
  for (int i = 0; i < 64; ++i) block.qs[i] = 0xE4;  // codes 0, 1, 2, 3 from the lowest bits up
  const auto values = values_of(block);
  for (int i = 0; i < 256; ++i) {
    const int code = (i / 32) % 4;
    const int g = i / 16;
    CHECK(values[static_cast<size_t>(i)] == static_cast<float>(g * code) - 0.5F * (15 - g));
  }
}

TEST_CASE("Q3_K: third bits in hmask, 6-bit scales in 12 bytes") {
  BlockQ3_K block{};
  block.d = kOne;
  // Scale of group g: low half-byte g, high bits g % 4, so 16 (g % 4) + g - 32.
  for (int i = 0; i < 8; ++i) block.scales[i] = static_cast<uint8_t>(i | ((i + 8) << 4));
  for (int i = 0; i < 4; ++i)
    block.scales[8 + i] = static_cast<uint8_t>(i | (i << 2) | (i << 4) | (i << 6));
  for (int i = 0; i < 64; ++i) block.qs[i] = 0xE4;
  for (int i = 0; i < 32; ++i) block.hmask[i] = (i % 2 == 0) ? 0x0F : 0xF0;
  const auto values = values_of(block);
  for (int i = 0; i < 256; ++i) {
    const int g = i / 16;
    const bool third = ((i % 2 == 0) ? 0x0F : 0xF0) >> (i / 32) & 1;
    const int code = (i / 32) % 4 + (third ? 4 : 0);
    const int scale = g + 16 * (g % 4) - 32;
    CHECK(values[static_cast<size_t>(i)] == static_cast<float>(scale * (code - 4)));
  }
}

TEST_CASE("Q4_K and Q5_K: 6-bit scales and minima in 12 bytes") {
  // Groups 0 to 3: scale 10 + g, minimum 20 + g. Groups 4 to 7: scale 40 + g, minimum 50 + g.
  BlockQ4_K a{};
  a.d = kOne;
  a.dmin = kHalf;
  const auto scale = [](int g) { return g < 4 ? 10 + g : 40 + g; };
  const auto min = [](int g) { return g < 4 ? 20 + g : 50 + g; };
  for (int g = 0; g < 4; ++g) {
    a.scales[g] = static_cast<uint8_t>(scale(g) | ((scale(g + 4) >> 4) << 6));
    a.scales[g + 4] = static_cast<uint8_t>(min(g) | ((min(g + 4) >> 4) << 6));
    a.scales[g + 8] = static_cast<uint8_t>((scale(g + 4) & 15) | ((min(g + 4) & 15) << 4));
  }
  for (int i = 0; i < 128; ++i) a.qs[i] = static_cast<uint8_t>((i % 16) | ((15 - i % 16) << 4));
  BlockQ5_K b{};
  b.d = a.d;
  b.dmin = a.dmin;
  std::memcpy(b.scales, a.scales, sizeof(a.scales));
  std::memcpy(b.qs, a.qs, sizeof(a.qs));
  for (int i = 0; i < 32; ++i) b.qh[i] = (i % 2 == 0) ? 0x55 : 0xAA;
  const auto va = values_of(a);
  const auto vb = values_of(b);
  for (int i = 0; i < 256; ++i) {
    const int g = i / 32;
    const int code = (g % 2 == 0) ? i % 16 : 15 - i % 16;
    const int fifth = (g % 2 == i % 2) ? 16 : 0;
    const float m = 0.5F * static_cast<float>(min(g));
    CHECK(va[static_cast<size_t>(i)] == static_cast<float>(scale(g) * code) - m);
    CHECK(vb[static_cast<size_t>(i)] == static_cast<float>(scale(g) * (code + fifth)) - m);
  }
}

TEST_CASE("Q6_K: four low bits, two high bits, signed scales for 16 values") {
  BlockQ6_K block{};
  block.d = kHalf;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<int8_t>(g * 16 - 128);
  for (int i = 0; i < 128; ++i) block.ql[i] = static_cast<uint8_t>((i % 16) | ((i / 32) << 4));
  for (int i = 0; i < 64; ++i) block.qh[i] = 0x1B;  // high bits 3, 2, 1, 0 of groups 0 to 3
  const auto values = values_of(block);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int j = (i / 32) % 4;
    const int low = j < 2 ? i % 16 : 2 * half + j - 2;
    const int code = low + 16 * (3 - j) - 32;
    const float scale = 0.5F * static_cast<float>((i / 16) * 16 - 128);
    CHECK(values[static_cast<size_t>(i)] == scale * static_cast<float>(code));
  }
}

TEST_CASE("IQ4_XS: 6-bit scales for 32 values") {
  BlockIQ4_XS block{};
  block.d = kOne;
  const auto scale = [](int g) { return g * 9 - 32; };
  for (int g = 0; g < 8; ++g) {
    const int stored = scale(g) + 32;
    block.scales_l[g / 2] =
        static_cast<uint8_t>(block.scales_l[g / 2] | ((stored & 15) << (4 * (g % 2))));
    block.scales_h = static_cast<uint16_t>(block.scales_h | ((stored >> 4) << (2 * g)));
  }
  for (int i = 0; i < 128; ++i) block.qs[i] = 0xF0;  // codes 0 and 15
  const auto values = values_of(block);
  for (int i = 0; i < 256; ++i) {
    const float value = (i % 32) < 16 ? -127.0F : 113.0F;
    CHECK(values[static_cast<size_t>(i)] == static_cast<float>(scale(i / 32)) * value);
  }
}

TEST_CASE("quantizers: error at most half a step, and zeros stay zeros") {
  std::mt19937 rng(4);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  struct Case {
    DType dtype;
    float steps;      // from lowest to highest code
    bool asymmetric;  // the highest code is one short of the largest magnitude
  };
  for (const Case& c :
       {Case{DType::kQ8_0, 254, false}, Case{DType::kQ4_0, 16, true}, Case{DType::kQ4_1, 15, false},
        Case{DType::kQ5_0, 32, true}, Case{DType::kQ5_1, 31, false}}) {
    REQUIRE(can_quantize(c.dtype));
    for (int round = 0; round < 50; ++round) {
      std::vector<float> x(32);
      for (float& value : x) value = normal(rng);
      std::vector<uint8_t> block(dtype_info(c.dtype).block_bytes);
      quantize_row(c.dtype, x.data(), block.data(), 32);
      std::vector<float> back(32);
      dequantize_row(c.dtype, block.data(), back.data(), 32);
      float largest = 0.0F;
      for (const float value : x) largest = std::max(largest, std::fabs(value));
      const float step = 2.0F * largest / c.steps;
      for (size_t i = 0; i < 32; ++i) {
        INFO(std::string(dtype_info(c.dtype).name), " ", x[i], " -> ", back[i]);
        CHECK(std::fabs(x[i] - back[i]) <= step * (c.asymmetric ? 1.01F : 0.51F));
      }
    }
    const std::vector<float> zeros(32, 0.0F);
    std::vector<uint8_t> block(dtype_info(c.dtype).block_bytes);
    quantize_row(c.dtype, zeros.data(), block.data(), 32);
    std::vector<float> back(32, 1.0F);
    dequantize_row(c.dtype, block.data(), back.data(), 32);
    for (const float value : back) CHECK(value == 0.0F);
  }
  CHECK_FALSE(can_quantize(DType::kQ6_K));
}

}  // namespace
}  // namespace hearth::quant
