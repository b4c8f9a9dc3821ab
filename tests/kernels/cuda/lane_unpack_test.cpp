// What lanes take from quantization blocks, against the types' scalar definition.
#include "kernels/cuda/simt.h"
//
#include <doctest/doctest.h>

#include "kernels/cuda/half_layout.h"
#include "kernels/cuda/lane_scaled.h"
#include "kernels/cuda/lane_unpack.h"
#include "kernels/quant/visit.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels::emulated {
namespace {

/// What a lane takes, as 16-bit floats.
void check_halves(const LaneHalves& halves, const quant::Group32& expected, int quad) {
  for (int i = 0; i < 8; ++i) {
    const uint32_t word = halves.word[i / 4 * 2 + i % 2] >> (i % 4 / 2 * 16);
    REQUIRE(simt::half_to_float(static_cast<uint16_t>(word)) ==
            static_cast<float>(expected.q[i / 4 * 16 + 4 * quad + i % 4]));
  }
}

template <typename Unpack>
void check_codes(const uint8_t* block, const quant::Group32& expected, int group, int quad) {
  const LaneCodes codes = Unpack::codes(block, group, quad);
  for (int i = 0; i < 4; ++i) {
    const int low = static_cast<int8_t>(codes.low >> (8 * i)) - Unpack::kOffset;
    const int high = static_cast<int8_t>(codes.high >> (8 * i)) - Unpack::kOffset;
    REQUIRE(low == expected.q[4 * quad + i]);
    REQUIRE(high == expected.q[16 + 4 * quad + i]);
  }
}

template <typename Block>
void check_block(const Block& block, int group) {
  using Unpack = LaneUnpack<Block>;
  quant::Group32 expected;
  quant::unpack_group(block, group, expected);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&block);
  LaneScales scales{};
  for (int quad = 0; quad < 4; ++quad) {
    if constexpr (requires { typename Unpack::Raw; }) {
      const auto raw = Unpack::load(bytes, group / 4, quad);
      check_halves(Unpack::halves(raw, group), expected, quad);
      scales = Unpack::scales(raw, bytes, group);
    } else {
      if constexpr (requires { Unpack::halves(bytes, group, quad); })
        check_halves(Unpack::halves(bytes, group, quad), expected, quad);
      else
        check_codes<Unpack>(bytes, expected, group, quad);
      scales = Unpack::scales(bytes, group);
    }
  }
  for (int half = 0; half < (Unpack::kTwoScales ? 2 : 1); ++half) {
    REQUIRE(scales.scale[half] == expected.scale[half]);
    REQUIRE((Unpack::kMin ? scales.min[half] : 0.0F) == expected.min[half]);
  }
}

}  // namespace

TEST_CASE("lanes unpack what the scalar definition says, for every quantized type") {
  std::mt19937 rng(5);
  for (const DType dtype : test::kAllTypes) {
    if (dtype_info(dtype).block_size == 1) continue;
    const test::Weights weights(dtype, 4, 2048, 1.0F, rng);
    quant::visit_block_type(dtype, [&]<typename Block>() {
      constexpr int kGroups = quant::kBlockSize<Block> / 32;
      const auto* blocks = reinterpret_cast<const Block*>(weights.bytes.data());
      INFO(std::string(dtype_info(dtype).name));
      for (size_t b = 0; b < weights.bytes.size() / sizeof(Block); ++b)
        for (int group = 0; group < kGroups; ++group) check_block(blocks[b], group);
    });
  }
}

TEST_CASE("lanes unpack codes times scales, exactly, for every chunk of Q4_K and Q5_K") {
  std::mt19937 rng(6);
  const auto check = [&]<typename Block>(DType dtype) {
    const test::Weights weights(dtype, 64, 256, 1.0F, rng);
    for (const uint8_t* at = weights.bytes.data(); at < weights.bytes.data() + 64 * sizeof(Block);
         at += sizeof(Block)) {
      for (int i = 0; i < 8; ++i) {
        quant::Group32 expected;
        quant::unpack_group(*reinterpret_cast<const Block*>(at), i, expected);
        const uint32_t scales = scale_bytes(at, i / 4);
        const uint32_t scale = scales >> (i % 4 * 8) & 0xFFU;
        REQUIRE(load_f16(at) * static_cast<float>(scale) == expected.scale[0]);
        const uint32_t min = twice_f16(min_bytes(at, i / 4), i % 4);
        REQUIRE((min >> 16) == (min & 0xFFFFU));
        REQUIRE(load_f16(at + 2) * simt::half_to_float(static_cast<uint16_t>(min)) ==
                expected.min[0]);
        for (int quad = 0; quad < 4; ++quad) {
          const LaneChunk chunk = scaled_chunk<Block>(at, scales, i / 2, quad);
          for (int value = 0; value < 8; ++value) {
            const int of_group = value / 4 * 16 + 4 * quad + value % 4;
            const uint32_t word =
                chunk.word[i % 2][value / 4 * 2 + value % 2] >> (value % 4 / 2 * 16);
            REQUIRE(simt::half_to_float(static_cast<uint16_t>(word)) ==
                    static_cast<float>(expected.q[of_group]) * static_cast<float>(scale));
          }
        }
      }
    }
  };
  check.operator()<quant::BlockQ4_K>(DType::kQ4_K);
  check.operator()<quant::BlockQ5_K>(DType::kQ5_K);
}

TEST_CASE("a value's place in a block of activations is taken once") {
  bool taken[32] = {};
  for (int i = 0; i < 32; ++i) taken[simt::half_offset(i)] = true;
  for (const bool place : taken) CHECK(place);
  CHECK(simt::half_offset(5) == 10);   // quad 1: k = 8 + 2
  CHECK(simt::half_offset(6) == 3);    // quad 1: k = 3
  CHECK(simt::half_offset(31) == 31);  // quad 3, of the second product
}

}  // namespace hearth::kernels::emulated
