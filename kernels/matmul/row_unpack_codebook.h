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
HEARTH_HOST_DEVICE __m256i vector_bytes(const SignedVectors& group) {
  __m256i magnitude;
  memcpy(&magnitude, group.magnitude, sizeof(magnitude));
  return _mm256_add_epi8(Isa::negate_where(magnitude, group.negative),
                         _mm256_set1_epi8(kCodeBookOffset));
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i vector_bytes(const BiasedVectors& group) {
  __m256i biased;
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
HEARTH_HOST_DEVICE __m256i first_digits(__m256i fractions) {
  const auto at_least = [&](int bound) HEARTH_INLINE_LAMBDA {  // -1 where it is so
    const __m256i limit = _mm256_set1_epi8(static_cast<char>(bound));
    return _mm256_cmpeq_epi8(_mm256_max_epu8(fractions, limit), fractions);
  };
  return _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(at_least(86), at_least(171)));
}

template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockTQ1_0& block, uint8_t* q) {
  const auto times3 = [](__m256i v) HEARTH_INLINE_LAMBDA {
    return _mm256_add_epi8(v, _mm256_add_epi8(v, v));
  };
  const auto join = [](__m256i low, __m256i high) HEARTH_INLINE_LAMBDA {
    return _mm256_inserti128_si256(low, _mm256_castsi256_si128(high), 1);
  };
  __m256i whole[5];  // of the first 32 bytes, times powers of 3
  whole[0] = load32(block.qs);
  for (int n = 1; n < 5; ++n) whole[n] = times3(whole[n - 1]);
  __m256i half[5];  // of the next 16; the upper lanes repeat the lower
  half[0] =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.qs + 32)));
  for (int n = 1; n < 5; ++n) half[n] = times3(half[n - 1]);
  // Of the last 4 bytes 16 values: word n of a lane is times 3^n.
  const __m256i last = _mm256_set1_epi32(static_cast<int32_t>(u32_at(block.qh)));
  const __m256i last3 = times3(last);
  const __m256i last9 = times3(last3);
  const __m256i first_two = _mm256_unpacklo_epi32(last, last3);
  const __m256i last_two = _mm256_unpacklo_epi32(last9, times3(last9));
  const __m256i rest = _mm256_unpacklo_epi64(first_two, last_two);

  Isa::store64(q, first_digits(whole[0]), first_digits(whole[1]));
  Isa::store64(q + 64, first_digits(whole[2]), first_digits(whole[3]));
  Isa::store64(q + 128, first_digits(whole[4]), first_digits(join(half[0], half[1])));
  Isa::store64(q + 192, first_digits(join(half[2], half[3])), first_digits(join(half[4], rest)));
}

template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockTQ2_0& block, uint8_t* q) {
  for (int half = 0; half < 2; ++half) {
    const __m256i packed = load32(block.qs + 32 * half);
    Isa::store64(q + 128 * half, field<0>(packed, 3), field<2>(packed, 3));
    Isa::store64(q + 128 * half + 64, field<4>(packed, 3), field<6>(packed, 3));
  }
}

// store_scales(block, first, second): scales of the first halves of the 8 groups and, for types
// that have them, of the second halves.

template <HasCodeBook Block>
HEARTH_HOST_DEVICE void store_scales(const Block& block, float* first, float* second) {
  const __m256 base = _mm256_set1_ps(base_scale(block));
  const auto store = [&](int half, float* out) HEARTH_INLINE_LAMBDA {
    const auto of = [&](int g)
                        HEARTH_INLINE_LAMBDA { return static_cast<int>(level(block, g, half)); };
    const __m256i levels =
        _mm256_setr_epi32(of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7));
    _mm256_storeu_ps(out, _mm256_mul_ps(base, _mm256_cvtepi32_ps(levels)));
  };
  store(0, first);
  if constexpr (kForm<Block>.halves == 2) store(1, second);
}
template <IsTernary Block>
HEARTH_HOST_DEVICE void store_scales(const Block& block, float* first, float* /*second*/) {
  _mm256_storeu_ps(first, _mm256_set1_ps(load_f16(block.d)));
}

template <typename Block>
requires HasCodeBook<Block> || IsTernary<Block> HEARTH_HOST_DEVICE void unpack_scales(
    const Block& block, Chunk& chunk, int g) {
  store_scales(block, chunk.scale[0] + g, chunk.scale[1] + g);
}

}  // namespace hearth::kernels::simd
