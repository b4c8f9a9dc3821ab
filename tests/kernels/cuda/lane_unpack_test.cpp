// What lanes take from quantization blocks, against the types' scalar definition.
#include "kernels/cuda/simt.h"
//
#include <doctest/doctest.h>

#include "kernels/cuda/half_layout.h"
#include "kernels/cuda/lane_unpack.h"
#include "kernels/quant/visit.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels::emulated {
namespace {

template <typename Block>
void check_block(const Block& block, int group) {
  using Unpack = LaneUnpack<Block>;
  quant::Group32 expected;
  quant::unpack_group(block, group, expected);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&block);
  const LaneScales scales = Unpack::scales(bytes, group);
  for (int half = 0; half < (Unpack::kTwoScales ? 2 : 1); ++half) {
    REQUIRE(scales.scale[half] == expected.scale[half]);
    REQUIRE((Unpack::kMin ? scales.min[half] : 0.0F) == expected.min[half]);
  }
  for (int quad = 0; quad < 4; ++quad) {
    const LaneCodes codes = Unpack::codes(bytes, group, quad);
    for (int i = 0; i < 4; ++i) {
      const int low = static_cast<int8_t>(codes.low >> (8 * i)) - Unpack::kOffset;
      const int high = static_cast<int8_t>(codes.high >> (8 * i)) - Unpack::kOffset;
      REQUIRE(low == expected.q[4 * quad + i]);
      REQUIRE(high == expected.q[16 + 4 * quad + i]);
    }
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

TEST_CASE("a value's place in a block of activations is taken once") {
  bool taken[32] = {};
  for (int i = 0; i < 32; ++i) taken[simt::half_offset(i)] = true;
  for (const bool place : taken) CHECK(place);
  CHECK(simt::half_offset(5) == 3);    // quad 1: k = 3
  CHECK(simt::half_offset(6) == 10);   // quad 1: k = 8 + 2
  CHECK(simt::half_offset(31) == 31);  // quad 3, of the second product
}

}  // namespace hearth::kernels::emulated
