#pragma once
// As row_unpack.h, for the ternary types and those with code books.

#include "kernels/matmul/row_unpack.h"
#include "kernels/quant/unpack_codebook.h"

namespace hearth::kernels::simd {

template <>
inline constexpr Form kForm<BlockTQ1_0>{1, 1, false, false};
template <>
inline constexpr Form kForm<BlockTQ2_0>{1, 1, false, false};

// Magnitudes with code books are at most 62: 64 more, and all are codes of seven bits.
inline constexpr int kCodeBookOffset = 64;
template <HasCodeBook Block>
inline constexpr Form kForm<Block>{1, kCodeBookOffset, false, false};
template <>
inline constexpr Form kForm<BlockIQ2_XS>{2, kCodeBookOffset, false, false};
template <>
inline constexpr Form kForm<BlockIQ2_S>{2, kCodeBookOffset, false, false};
template <>
inline constexpr Form kForm<BlockIQ1_M>{2, kCodeBookOffset, false, false};

template <typename Block>
inline constexpr bool kIsTernary = false;
template <>
inline constexpr bool kIsTernary<BlockTQ1_0> = true;
template <>
inline constexpr bool kIsTernary<BlockTQ2_0> = true;
template <typename Block>
concept IsTernary = kIsTernary<Block>;

/// Four vectors of a group as the bytes of Form.
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 vector_bytes(const SignedVectors& group) {
  Bytes32 magnitude;
  memcpy(&magnitude, group.magnitude, sizeof(magnitude));
  return add_bytes(Isa::negate_where(magnitude, group.negative), repeat32(kCodeBookOffset));
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 vector_bytes(const BiasedVectors& group) {
  Bytes32 biased;
  memcpy(&biased, group.biased, sizeof(biased));
  return biased;
}

// unpack_bytes<Isa>(block, q): as in row_unpack.h.

template <typename Isa, HasCodeBook Block>
HEARTH_HOST_DEVICE void unpack_bytes(const Block& block, uint8_t* q) {
  for (int g = 0; g < 8; g += 2)
    Isa::store64(q + 32 * g, vector_bytes<Isa>(read_vectors(block, g)),
                 vector_bytes<Isa>(read_vectors(block, g + 1)));
}

/// The integer part of three times the bytes as fractions of 256: 0, 1 or 2.
HEARTH_HOST_DEVICE Bytes32 first_digits(Bytes32 fractions) {
  return sub_bytes(repeat32(0),
                   add_bytes(where_at_least(fractions, 86), where_at_least(fractions, 171)));
}

template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockTQ1_0& block, uint8_t* q) {
  const auto times3 = [](Bytes32 v) HEARTH_INLINE_LAMBDA { return add_bytes(v, add_bytes(v, v)); };
  Bytes32 whole[5];  // of the first 32 bytes, times powers of 3
  whole[0] = load32(block.qs);
  for (int n = 1; n < 5; ++n) whole[n] = times3(whole[n - 1]);
  Bytes32 half[5];  // of the next 16; the upper half repeats the lower
  half[0] = both_halves(load16(block.qs + 32));
  for (int n = 1; n < 5; ++n) half[n] = times3(half[n - 1]);
  // Of the last 4 bytes 16 values: word n of a half is times 3^n.
  const Bytes32 last = repeat_word(u32_at(block.qh));
  const Bytes32 last3 = times3(last);
  const Bytes32 last9 = times3(last3);
  const Bytes32 rest = first_words(last, last3, last9, times3(last9));

  Isa::store64(q, first_digits(whole[0]), first_digits(whole[1]));
  Isa::store64(q + 64, first_digits(whole[2]), first_digits(whole[3]));
  Isa::store64(q + 128, first_digits(whole[4]), first_digits(join_low(half[0], half[1])));
  Isa::store64(q + 192, first_digits(join_low(half[2], half[3])),
               first_digits(join_low(half[4], rest)));
}

template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockTQ2_0& block, uint8_t* q) {
  for (int half = 0; half < 2; ++half) {
    const Bytes32 packed = load32(block.qs + 32 * half);
    Isa::store64(q + 128 * half, field<0>(packed, 3), field<2>(packed, 3));
    Isa::store64(q + 128 * half + 64, field<4>(packed, 3), field<6>(packed, 3));
  }
}

// store_scales(block, first, second): scales of the first halves of the 8 groups and, for types
// that have them, of the second halves.

template <HasCodeBook Block>
HEARTH_HOST_DEVICE void store_scales(const Block& block, float* first, float* second) {
  const float base = base_scale(block);
  const auto store = [&](int half, float* out) HEARTH_INLINE_LAMBDA {
    const auto of = [&](int g)
                        HEARTH_INLINE_LAMBDA { return static_cast<int>(level(block, g, half)); };
    store_scaled(base, out, of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7));
  };
  store(0, first);
  if constexpr (kForm<Block>.halves == 2) store(1, second);
}
template <IsTernary Block>
HEARTH_HOST_DEVICE void store_scales(const Block& block, float* first, float* /*second*/) {
  store_eight(load_f16(block.d), first);
}

template <typename Block>
requires HasCodeBook<Block> || IsTernary<Block> HEARTH_HOST_DEVICE void unpack_scales(
    const Block& block, Chunk& chunk, int g) {
  store_scales(block, chunk.scale[0] + g, chunk.scale[1] + g);
}

}  // namespace hearth::kernels::simd
