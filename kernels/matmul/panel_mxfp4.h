#pragma once
// Panels (see panel_load.h) of MXFP4, whose blocks have an odd number of bytes.

#include "kernels/matmul/panel_load.h"

namespace hearth::kernels::simd {

template <>
inline constexpr Form kForm<BlockMXFP4>{1, 12, false, false};

/// mxfp4_scale of each lane, as the product of two powers of two of half the exponent: both factors
/// are normal, even where the product is not.
template <typename Isa>
HEARTH_HOST_DEVICE typename Isa::F mxfp4_scales(typename Isa::I exponents) {
  const auto power = [](typename Isa::I e) HEARTH_INLINE_LAMBDA {  // 2^(e - 64)
    return Isa::as_float(Isa::template shift_left32<23>(Isa::add_int(e, Isa::set1(127 - 64))));
  };
  const auto half = Isa::template shift_right32<1>(exponents);
  return Isa::mul(power(half), power(Isa::add_int(half, Isa::and_bits(exponents, Isa::set1(1)))));
}

/// One block; its exponent is in the lowest byte of each lane.
template <typename Isa>
HEARTH_HOST_DEVICE void store_mxfp4(const Words<Isa>& packed, typename Isa::I exponents,
                                    Panel<Isa>& panel, int g) {
  const Bytes16 values_plus_12 = bytes16(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
  const auto table = Isa::repeat128(values_plus_12);
  store_paired_nibbles(packed, panel, g, [&](auto codes, int) HEARTH_INLINE_LAMBDA {
    return Isa::shuffle_bytes(table, codes);
  });
  Isa::store(panel.scale[0][g], mxfp4_scales<Isa>(Isa::and_bits(exponents, Isa::set1(255))));
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<BlockMXFP4>& rows, Panel<Isa>& panel, int g) {
  store_mxfp4(load_words<Isa>(rows, offsetof(BlockMXFP4, qs)), load_words<Isa>(rows, 0).word[0],
              panel, g);
}

/// Three blocks, one load for each row: their codes, then their exponents.
template <typename Isa>
HEARTH_HOST_DEVICE void load_blocks32(const BlockRows<BlockMXFP4>& rows, Panel<Isa>& panel, int g) {
  constexpr int kBlocks = kWideBlocks<BlockMXFP4>;
  static_assert(kBlocks == 3);
  alignas(64) static constexpr auto kOrder = [] {
    struct Table {
      uint8_t at[64];
    } table{};
    for (int b = 0; b < kBlocks; ++b) {
      const int begin = b * static_cast<int>(sizeof(BlockMXFP4));
      for (int i = 0; i < 16; ++i) table.at[16 * b + i] = static_cast<uint8_t>(begin + 1 + i);
      table.at[16 * kBlocks + b] = static_cast<uint8_t>(begin);
    }
    return table;
  }();
  const auto order = Isa::load_int(kOrder.at);
  Words<Isa> pieces[4];
  load_wide<Isa>(rows, pieces, [&](const uint8_t* row) HEARTH_INLINE_LAMBDA {
    return Isa::permute_bytes(order, Isa::template load_bytes<kBlocks * sizeof(BlockMXFP4)>(row));
  });
  const auto exponents = pieces[kBlocks].word[0];
  store_mxfp4(pieces[0], exponents, panel, g);
  store_mxfp4(pieces[1], Isa::template shift_right32<8>(exponents), panel, g + 1);
  store_mxfp4(pieces[2], Isa::template shift_right32<16>(exponents), panel, g + 2);
}

}  // namespace hearth::kernels::simd
