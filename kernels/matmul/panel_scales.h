#pragma once
// The scales and minima of blocks of 256 (see panel_load.h), as f32.

#include "kernels/matmul/panel_load.h"

namespace hearth::kernels::simd {

/// Byte kByte of each word as a float.
template <typename Isa, int kByte>
HEARTH_HOST_DEVICE typename Isa::F unsigned_byte(typename Isa::I words) {
  const auto shifted = Isa::template shift_right32<8 * kByte>(words);
  return Isa::to_float(kByte == 3 ? shifted : Isa::and_bits(shifted, Isa::set1(255)));
}
template <typename Isa, int kByte>
HEARTH_HOST_DEVICE typename Isa::F signed_byte(typename Isa::I words) {
  const auto at_top = Isa::template shift_left32<24 - 8 * kByte>(words);
  return Isa::to_float(Isa::template shift_right_signed32<24>(at_top));
}

/// Calls f<0>() … f<3>().
template <typename F>
HEARTH_HOST_DEVICE void for_each_byte(const F& f) {
  f.template operator()<0>();
  f.template operator()<1>();
  f.template operator()<2>();
  f.template operator()<3>();
}

// load_scales(rows, panel, g): the scales of a block of 256 from group g on.

/// 8 scales and 8 minima of 6 bits in 12 bytes, behind d and dmin.
template <typename Isa, typename Block>
HEARTH_HOST_DEVICE void load_packed_scales(const BlockRows<Block>& rows, Panel<Isa>& panel, int g) {
  static_assert(offsetof(Block, d) == 0 && offsetof(Block, dmin) == 2 &&
                offsetof(Block, scales) == 4);
  const auto head = load_words<Isa>(rows, 0);
  const auto d = Isa::f16_low(head.word[0]);
  const auto dmin = Isa::f16_high(head.word[0]);
  const auto a = head.word[1];  // four scales, and the high bits of the other four
  const auto b = head.word[2];  // the same of minima
  const auto c = head.word[3];  // low half-bytes of the other four scales, high ones of the minima
  const auto six_bits = [](auto v)
                            HEARTH_INLINE_LAMBDA { return Isa::and_bits(v, Isa::set_bytes(0x3F)); };
  const auto high_bits = [](auto v) HEARTH_INLINE_LAMBDA { return field<Isa, 2>(v, 0x30); };
  const typename Isa::I scales[2] = {six_bits(a), Isa::or_bits(field<Isa, 0>(c, 15), high_bits(a))};
  const typename Isa::I mins[2] = {six_bits(b), Isa::or_bits(field<Isa, 4>(c, 15), high_bits(b))};
  HEARTH_UNROLL
  for (int i = 0; i < 2; ++i) {
    for_each_byte([&]<int kByte>() HEARTH_INLINE_LAMBDA {
      const int at = g + 4 * i + kByte;
      Isa::store(panel.scale[0][at], Isa::mul(d, unsigned_byte<Isa, kByte>(scales[i])));
      Isa::store(panel.min[0][at], Isa::mul(dmin, unsigned_byte<Isa, kByte>(mins[i])));
    });
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_scales(const BlockRows<BlockQ4_K>& rows, Panel<Isa>& panel, int g) {
  load_packed_scales(rows, panel, g);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_scales(const BlockRows<BlockQ5_K>& rows, Panel<Isa>& panel, int g) {
  load_packed_scales(rows, panel, g);
}

/// The f16 in the last two bytes of the block: the upper half of the word that ends there.
template <typename Isa, typename Block>
HEARTH_HOST_DEVICE typename Isa::F last_f16(const BlockRows<Block>& rows) {
  static_assert(offsetof(Block, d) + 2 == sizeof(Block));
  return Isa::f16_high(load_words<Isa>(rows, sizeof(Block) - 16).word[3]);
}

/// Scales of 16 values each, as signed bytes: byte 2 g + h is half h of group g.
template <typename Isa>
HEARTH_HOST_DEVICE void store_half_scales(typename Isa::F d, const typename Isa::I (&bytes)[4],
                                          Panel<Isa>& panel, int g) {
  HEARTH_UNROLL
  for (int i = 0; i < 4; ++i)
    for_each_byte([&]<int kByte>() HEARTH_INLINE_LAMBDA {
      Isa::store(panel.scale[kByte % 2][g + 2 * i + kByte / 2],
                 Isa::mul(d, signed_byte<Isa, kByte>(bytes[i])));
    });
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_scales(const BlockRows<BlockQ6_K>& rows, Panel<Isa>& panel, int g) {
  store_half_scales(last_f16<Isa>(rows), load_words<Isa>(rows, offsetof(BlockQ6_K, scales)).word,
                    panel, g);
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_scales(const BlockRows<BlockQ3_K>& rows, Panel<Isa>& panel, int g) {
  // The 16 bytes that end with the scales: words 1 to 3 are theirs.
  const auto packed = load_words<Isa>(rows, offsetof(BlockQ3_K, scales) - 4);
  const auto low = packed.word[1];   // low half-bytes of scales 0 to 3, high ones of 8 to 11
  const auto next = packed.word[2];  // the same of 4 to 7 and 12 to 15
  const auto high = packed.word[3];  // two high bits of scale i in byte i % 4, at bit 2 (i / 4)
  const auto join = [](auto nibbles, auto bits) HEARTH_INLINE_LAMBDA {
    const auto top = Isa::and_bits(bits, Isa::set_bytes(0x30));
    return Isa::sub_bytes(Isa::or_bits(nibbles, top), Isa::set_bytes(32));
  };
  const typename Isa::I bytes[4] = {
      join(field<Isa, 0>(low, 15), Isa::template shift_left16<4>(high)),
      join(field<Isa, 0>(next, 15), Isa::template shift_left16<2>(high)),
      join(field<Isa, 4>(low, 15), high),
      join(field<Isa, 4>(next, 15), Isa::template shift_right16<2>(high))};
  store_half_scales(last_f16<Isa>(rows), bytes, panel, g);
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_scales(const BlockRows<BlockQ2_K>& rows, Panel<Isa>& panel, int g) {
  static_assert(offsetof(BlockQ2_K, d) + 4 == sizeof(BlockQ2_K));
  const auto both = load_words<Isa>(rows, sizeof(BlockQ2_K) - 16).word[3];
  const auto d = Isa::f16_low(both);
  const auto dmin = Isa::f16_high(both);
  const auto packed = load_words<Isa>(rows, offsetof(BlockQ2_K, scales));
  HEARTH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const auto scales = field<Isa, 0>(packed.word[i], 15);
    const auto mins = field<Isa, 4>(packed.word[i], 15);
    for_each_byte([&]<int kByte>() HEARTH_INLINE_LAMBDA {
      const int at = g + 2 * i + kByte / 2;
      Isa::store(panel.scale[kByte % 2][at], Isa::mul(d, unsigned_byte<Isa, kByte>(scales)));
      Isa::store(panel.min[kByte % 2][at], Isa::mul(dmin, unsigned_byte<Isa, kByte>(mins)));
    });
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_scales(const BlockRows<BlockIQ4_XS>& rows, Panel<Isa>& panel, int g) {
  static_assert(offsetof(BlockIQ4_XS, scales_h) == 2 && offsetof(BlockIQ4_XS, scales_l) == 4);
  const auto head = load_words<Isa>(rows, 0);
  const auto d = Isa::f16_low(head.word[0]);
  // Scale i: half-byte i of word 1 below two bits at 16 + 2 i of word 0.
  const auto scale = [&]<int kIndex>() HEARTH_INLINE_LAMBDA {
    const auto low =
        Isa::and_bits(Isa::template shift_right32<4 * kIndex>(head.word[1]), Isa::set1(15));
    const auto high =
        Isa::and_bits(Isa::template shift_right32<12 + 2 * kIndex>(head.word[0]), Isa::set1(0x30));
    const auto value = Isa::add_int(Isa::or_bits(low, high), Isa::set1(-32));
    Isa::store(panel.scale[0][g + kIndex], Isa::mul(d, Isa::to_float(value)));
  };
  for_each_byte([&]<int kIndex>() HEARTH_INLINE_LAMBDA { scale.template operator()<kIndex>(); });
  for_each_byte([&]<int kIndex>()
                    HEARTH_INLINE_LAMBDA { scale.template operator()<kIndex + 4>(); });
}

}  // namespace hearth::kernels::simd
