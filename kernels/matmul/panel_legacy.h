#pragma once
// Panels (see panel_load.h) of the block types of early 2023.

#include "kernels/matmul/panel_scales.h"
#include "kernels/quant/legacy_blocks.h"

namespace hearth::kernels::simd {

template <>
inline constexpr Form kForm<BlockQ4_0F32Pairs>{1, 8, false, false};
template <>
inline constexpr Form kForm<BlockQ4_0F32>{1, 8, false, false};
template <>
inline constexpr Form kForm<BlockQ8_0F32>{1, 128, false, true};

/// 32 half-bytes in 16 bytes, those of values 2 j and 2 j + 1 in one.
template <typename Isa>
HEARTH_HOST_DEVICE void store_neighbour_nibbles(const Words<Isa>& packed, Panel<Isa>& panel,
                                                int g) {
  // Two bytes of a word become four: their low half-bytes at even places, the high ones at odd.
  const auto spread = [](typename Isa::I low, typename Isa::I high,
                         int first) HEARTH_INLINE_LAMBDA {
    constexpr int kZero = -128;
    const Bytes16 even =
        bytes16(0, kZero, 1, kZero, 4, kZero, 5, kZero, 8, kZero, 9, kZero, 12, kZero, 13, kZero);
    const Bytes16 odd =
        bytes16(kZero, 0, kZero, 1, kZero, 4, kZero, 5, kZero, 8, kZero, 9, kZero, 12, kZero, 13);
    const Bytes16 by = repeat16(first);
    return Isa::or_bits(Isa::shuffle_bytes(low, Isa::repeat128(add_bytes(even, by))),
                        Isa::shuffle_bytes(high, Isa::repeat128(add_bytes(odd, by))));
  };
  HEARTH_UNROLL
  for (int s = 0; s < 4; ++s) {
    const auto low = field<Isa, 0>(packed.word[s], 15);
    const auto high = field<Isa, 4>(packed.word[s], 15);
    store_words(panel, g, 2 * s, spread(low, high, 0));
    store_words(panel, g, 2 * s + 1, spread(low, high, 2));
  }
}

/// The scale in the block's first word and, where there is one, m in its second.
template <typename Isa, typename Block>
HEARTH_HOST_DEVICE void load_f32_scales(const BlockRows<Block>& rows, Panel<Isa>& panel, int g) {
  const auto head = load_words<Isa>(rows, 0);
  store_block_scales<Block>(Isa::as_float(head.word[0]), Isa::as_float(head.word[1]), panel, g);
}

// load_block32: as in panel_load.h.

template <typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<BlockQ4_0F32Pairs>& rows, Panel<Isa>& panel,
                                     int g) {
  store_neighbour_nibbles(load_words<Isa>(rows, offsetof(BlockQ4_0F32Pairs, qs)), panel, g);
  load_f32_scales(rows, panel, g);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<BlockQ4_1F32Pairs>& rows, Panel<Isa>& panel,
                                     int g) {
  store_neighbour_nibbles(load_words<Isa>(rows, offsetof(BlockQ4_1F32Pairs, qs)), panel, g);
  load_f32_scales(rows, panel, g);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<BlockQ4_0F32>& rows, Panel<Isa>& panel,
                                     int g) {
  const auto q = load_words<Isa>(rows, offsetof(BlockQ4_0F32, qs));
  store_block<BlockQ4_0>(&q, Isa::zero_int(), panel, g);
  load_f32_scales(rows, panel, g);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<BlockQ4_1F32>& rows, Panel<Isa>& panel,
                                     int g) {
  const auto q = load_words<Isa>(rows, offsetof(BlockQ4_1F32, qs));
  store_block<BlockQ4_1>(&q, Isa::zero_int(), panel, g);
  load_f32_scales(rows, panel, g);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<BlockQ8_0F32>& rows, Panel<Isa>& panel,
                                     int g) {
  const Words<Isa> q[2] = {load_words<Isa>(rows, offsetof(BlockQ8_0F32, qs)),
                           load_words<Isa>(rows, offsetof(BlockQ8_0F32, qs) + 16)};
  store_block<BlockQ8_0>(q, Isa::zero_int(), panel, g);
  load_f32_scales(rows, panel, g);
}

}  // namespace hearth::kernels::simd
