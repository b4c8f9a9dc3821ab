#pragma once
// Quantized weights to bytes and f32 scales, block by block, lanes being groups: what row_chunk.h
// puts together. AVX2 intrinsics; the AVX2 and the AVX-512 kernels include it.
// Everything is always inlined (see HEARTH_HOST_DEVICE).

#include <cstring>

#include "kernels/matmul/panel_load.h"

namespace hearth::kernels::simd {

/// Up to 16 groups of one row of weights.
struct alignas(64) Chunk {
  uint8_t q[kChunkValues];
  float scale[2][kChunkGroups];
  float min[2][kChunkGroups];
};

HEARTH_HOST_DEVICE float load_f16(F16 bits) { return _cvtsh_ss(bits); }

HEARTH_HOST_DEVICE void store32(uint8_t* out, __m256i q) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(out), q);
}

HEARTH_HOST_DEVICE __m256i load32(const void* bytes) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(bytes));
}

/// Bytes (v >> shift) & mask; bits that a 16-bit shift moves in from the next byte are masked off.
template <int kShift>
HEARTH_HOST_DEVICE __m256i field(__m256i v, int mask) {
  return _mm256_and_si256(_mm256_srli_epi16(v, kShift), _mm256_set1_epi8(static_cast<char>(mask)));
}

/// 32 half-bytes lying in pairs (i, i + 16).
HEARTH_HOST_DEVICE __m256i paired_nibbles(const uint8_t* qs) {
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(qs));
  const __m256i both =
      _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/// Byte i is all ones where bit i of the 32 bits is set, else zero.
HEARTH_HOST_DEVICE __m256i bytes_where(int32_t bits) {
  // Each byte of bits is copied to the eight places that test its bits.
  const __m256i copies = _mm256_shuffle_epi8(
      _mm256_set1_epi32(bits),
      _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
  const __m256i select = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ULL));
  return _mm256_cmpeq_epi8(_mm256_and_si256(copies, select), select);
}

/// 16 in byte i where bit i of the 32 bits is set.
HEARTH_HOST_DEVICE __m256i fifth_bits(const uint8_t* qh) {
  int32_t bits;
  memcpy(&bits, qh, sizeof(bits));
  return _mm256_and_si256(bytes_where(bits), _mm256_set1_epi8(16));
}

/// IQ4 codes to their values; kSigned as they are, else + 128.
template <bool kSigned>
HEARTH_HOST_DEVICE __m256i iq4_values(__m256i codes) {
  const __m128i table =
      _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  const __m256i values = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
  return kSigned ? values : _mm256_xor_si256(values, _mm256_set1_epi8(-128));
}

/// MXFP4 codes to their values, plus 12.
HEARTH_HOST_DEVICE __m256i mxfp4_values(__m256i codes) {
  const __m128i table = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
}

/// d * bytes, eight signed or unsigned bytes.
HEARTH_HOST_DEVICE void store_scales_i8(float d, __m128i bytes, float* out) {
  const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(d), values));
}

/// d * bytes for 16 signed bytes of which the even ones belong to first halves of groups.
HEARTH_HOST_DEVICE void store_half_scales(float d, __m128i bytes, float* even, float* odd) {
  const __m128i split =
      _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
  store_scales_i8(d, split, even);
  store_scales_i8(d, _mm_unpackhi_epi64(split, split), odd);
}

/// 16 scales of Q3_K, -32 … 31.
HEARTH_HOST_DEVICE __m128i scales_q3k(const uint8_t* scales) {
  uint64_t low;
  uint32_t high;
  memcpy(&low, scales, sizeof(low));
  memcpy(&high, scales + 8, sizeof(high));
  const __m128i low4 = _mm_and_si128(
      _mm_set_epi64x(static_cast<int64_t>(low >> 4), static_cast<int64_t>(low)), _mm_set1_epi8(15));
  const __m128i high2 = _mm_and_si128(
      _mm_srlv_epi32(_mm_set1_epi32(static_cast<int>(high)), _mm_setr_epi32(0, 2, 4, 6)),
      _mm_set1_epi8(3));
  return _mm_sub_epi8(_mm_or_si128(low4, _mm_slli_epi16(high2, 4)), _mm_set1_epi8(32));
}

/// The 8 scales and 8 minima of Q4_K and Q5_K, times d and dmin.
HEARTH_HOST_DEVICE void store_scale_min(float d, float dmin, const uint8_t* scales, float* scale,
                                        float* min) {
  uint32_t a;  // four scales, and the high bits of the other four
  uint32_t b;  // the same of minima
  uint32_t c;  // low half-bytes of the other four scales, high ones of the minima
  memcpy(&a, scales, 4);
  memcpy(&b, scales + 4, 4);
  memcpy(&c, scales + 8, 4);
  const uint64_t high_scales = (c & 0x0F0F0F0FU) | ((a >> 2) & 0x30303030U);
  const uint64_t high_mins = ((c >> 4) & 0x0F0F0F0FU) | ((b >> 2) & 0x30303030U);
  const uint64_t all_scales = (a & 0x3F3F3F3FU) | (high_scales << 32);
  const uint64_t all_mins = (b & 0x3F3F3F3FU) | (high_mins << 32);
  store_scales_i8(d, _mm_cvtsi64_si128(static_cast<int64_t>(all_scales)), scale);
  store_scales_i8(dmin, _mm_cvtsi64_si128(static_cast<int64_t>(all_mins)), min);
}

/// The 8 scales of IQ4_XS, -32 … 31.
HEARTH_HOST_DEVICE __m128i scales_iq4xs(const BlockIQ4_XS& block) {
  uint32_t low;
  memcpy(&low, block.scales_l, sizeof(low));
  const __m128i nibbles =
      _mm_unpacklo_epi8(_mm_cvtsi32_si128(static_cast<int>(low & 0x0F0F0F0FU)),
                        _mm_cvtsi32_si128(static_cast<int>((low >> 4) & 0x0F0F0F0FU)));
  const uint64_t high = _pdep_u64(block.scales_h, 0x3030303030303030ULL);
  return _mm_sub_epi8(_mm_or_si128(nibbles, _mm_cvtsi64_si128(static_cast<int64_t>(high))),
                      _mm_set1_epi8(32));
}

// group_bytes<Isa>(block): the values of a block of 32 as bytes of Form, in order.

template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockQ4_0& block) {
  return paired_nibbles(block.qs);
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockQ4_1& block) {
  return paired_nibbles(block.qs);
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockQ5_0& block) {
  return _mm256_or_si256(paired_nibbles(block.qs), fifth_bits(block.qh));
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockQ5_1& block) {
  return _mm256_or_si256(paired_nibbles(block.qs), fifth_bits(block.qh));
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockQ8_0& block) {
  const __m256i values = load32(block.qs);
  return Isa::kSignedWide ? values : _mm256_xor_si256(values, _mm256_set1_epi8(-128));
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockIQ4_NL& block) {
  return iq4_values<Isa::kSignedWide>(paired_nibbles(block.qs));
}
template <typename Isa>
HEARTH_HOST_DEVICE __m256i group_bytes(const BlockMXFP4& block) {
  return mxfp4_values(paired_nibbles(block.qs));
}

// unpack_bytes<Isa>(block, q): all of a block of 256. Isa::store64 writes two groups at once: bytes
// that are read back as one vector must have been written as one, or the read waits for the cache.

template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockIQ4_XS& block, uint8_t* q) {
  for (int g = 0; g < 8; g += 2)
    Isa::store64(q + 32 * g, iq4_values<Isa::kSignedWide>(paired_nibbles(block.qs + 16 * g)),
                 iq4_values<Isa::kSignedWide>(paired_nibbles(block.qs + 16 * g + 16)));
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ2_K& block, uint8_t* q) {
  for (int half = 0; half < 2; ++half) {
    const __m256i packed = load32(block.qs + 32 * half);
    Isa::store64(q + 128 * half, field<0>(packed, 3), field<2>(packed, 3));
    Isa::store64(q + 128 * half + 64, field<4>(packed, 3), field<6>(packed, 3));
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ3_K& block, uint8_t* q) {
  __m256i high = load32(block.hmask);  // its lowest bits are the current group's
  const auto with_third_bit = [&](__m256i low) {
    const __m256i bit = _mm256_and_si256(_mm256_slli_epi16(high, 2), _mm256_set1_epi8(4));
    high = _mm256_srli_epi16(high, 1);
    return _mm256_or_si256(low, bit);
  };
  for (int half = 0; half < 2; ++half) {
    const __m256i packed = load32(block.qs + 32 * half);
    const __m256i q0 = with_third_bit(field<0>(packed, 3));
    const __m256i q1 = with_third_bit(field<2>(packed, 3));
    const __m256i q2 = with_third_bit(field<4>(packed, 3));
    const __m256i q3 = with_third_bit(field<6>(packed, 3));
    Isa::store64(q + 128 * half, q0, q1);
    Isa::store64(q + 128 * half + 64, q2, q3);
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ4_K& block, uint8_t* q) {
  for (int pair = 0; pair < 4; ++pair) {
    const __m256i packed = load32(block.qs + 32 * pair);
    Isa::store64(q + 64 * pair, field<0>(packed, 15), field<4>(packed, 15));
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ5_K& block, uint8_t* q) {
  __m256i high = load32(block.qh);  // its lowest bits are the current group's
  const auto fifth_bit = [&] {
    const __m256i bit = _mm256_and_si256(_mm256_slli_epi16(high, 4), _mm256_set1_epi8(16));
    high = _mm256_srli_epi16(high, 1);
    return bit;
  };
  for (int pair = 0; pair < 4; ++pair) {
    const __m256i packed = load32(block.qs + 32 * pair);
    const __m256i first = _mm256_or_si256(field<0>(packed, 15), fifth_bit());
    const __m256i second = _mm256_or_si256(field<4>(packed, 15), fifth_bit());
    Isa::store64(q + 64 * pair, first, second);
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ6_K& block, uint8_t* q) {
  const auto high = [](__m256i two_bits) { return _mm256_slli_epi16(two_bits, 4); };
  for (int half = 0; half < 2; ++half) {
    const __m256i first = load32(block.ql + 64 * half);
    const __m256i second = load32(block.ql + 64 * half + 32);
    const __m256i qh = load32(block.qh + 32 * half);
    Isa::store64(q + 128 * half, _mm256_or_si256(field<0>(first, 15), high(field<0>(qh, 3))),
                 _mm256_or_si256(field<0>(second, 15), high(field<2>(qh, 3))));
    Isa::store64(q + 128 * half + 64, _mm256_or_si256(field<4>(first, 15), high(field<4>(qh, 3))),
                 _mm256_or_si256(field<4>(second, 15), high(field<6>(qh, 3))));
  }
}

// unpack_scales(block, chunk, g): the scales of a block from group g of the chunk on.

// Q4_0, Q5_0, Q8_0 and IQ4_NL: a scale alone.
template <typename Block>
HEARTH_HOST_DEVICE void unpack_scales(const Block& block, Chunk& chunk, int g) {
  chunk.scale[0][g] = load_f16(block.d);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockMXFP4& block, Chunk& chunk, int g) {
  chunk.scale[0][g] = mxfp4_scale(block.d);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ4_1& block, Chunk& chunk, int g) {
  chunk.scale[0][g] = load_f16(block.d);
  chunk.min[0][g] = -load_f16(block.m);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ5_1& block, Chunk& chunk, int g) {
  chunk.scale[0][g] = load_f16(block.d);
  chunk.min[0][g] = -load_f16(block.m);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockIQ4_XS& block, Chunk& chunk, int g) {
  store_scales_i8(load_f16(block.d), scales_iq4xs(block), chunk.scale[0] + g);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ2_K& block, Chunk& chunk, int g) {
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales));
  const __m128i nibble = _mm_set1_epi8(15);
  store_half_scales(load_f16(block.d), _mm_and_si128(packed, nibble), chunk.scale[0] + g,
                    chunk.scale[1] + g);
  store_half_scales(load_f16(block.dmin), _mm_and_si128(_mm_srli_epi16(packed, 4), nibble),
                    chunk.min[0] + g, chunk.min[1] + g);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ3_K& block, Chunk& chunk, int g) {
  store_half_scales(load_f16(block.d), scales_q3k(block.scales), chunk.scale[0] + g,
                    chunk.scale[1] + g);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ4_K& block, Chunk& chunk, int g) {
  store_scale_min(load_f16(block.d), load_f16(block.dmin), block.scales, chunk.scale[0] + g,
                  chunk.min[0] + g);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ5_K& block, Chunk& chunk, int g) {
  store_scale_min(load_f16(block.d), load_f16(block.dmin), block.scales, chunk.scale[0] + g,
                  chunk.min[0] + g);
}
HEARTH_HOST_DEVICE void unpack_scales(const BlockQ6_K& block, Chunk& chunk, int g) {
  store_half_scales(load_f16(block.d),
                    _mm_loadu_si128(reinterpret_cast<const __m128i*>(block.scales)),
                    chunk.scale[0] + g, chunk.scale[1] + g);
}

}  // namespace hearth::kernels::simd
