#pragma once
// Bytes16 and Bytes32 (see bytes.h) for AVX2, with F16C and BMI2; the AVX-512 kernels include it
// too. bytes_neon.h has the same names. Everything is always inlined (see HEARTH_HOST_DEVICE).

#include <cstring>

#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"

namespace hearth::kernels::simd {

using Bytes16 = __m128i;
using Bytes32 = __m256i;

/// 16 bytes in order.
template <typename... Values>
HEARTH_HOST_DEVICE Bytes16 bytes16(Values... values) {
  static_assert(sizeof...(values) == 16);
  return _mm_setr_epi8(static_cast<char>(values)...);
}
HEARTH_HOST_DEVICE Bytes16 repeat16(int value) { return _mm_set1_epi8(static_cast<char>(value)); }
HEARTH_HOST_DEVICE Bytes16 load16(const void* bytes) {
  return _mm_loadu_si128(static_cast<const __m128i*>(bytes));
}
/// Eight bytes; the other eight are 0.
HEARTH_HOST_DEVICE Bytes16 bytes8(uint64_t bytes) {
  return _mm_cvtsi64_si128(static_cast<int64_t>(bytes));
}
HEARTH_HOST_DEVICE Bytes16 and_bytes(Bytes16 a, Bytes16 b) { return _mm_and_si128(a, b); }
HEARTH_HOST_DEVICE Bytes16 add_bytes(Bytes16 a, Bytes16 b) { return _mm_add_epi8(a, b); }

HEARTH_HOST_DEVICE Bytes32 repeat32(int value) {
  return _mm256_set1_epi8(static_cast<char>(value));
}
HEARTH_HOST_DEVICE Bytes32 repeat_word(uint32_t value) {
  return _mm256_set1_epi32(static_cast<int32_t>(value));
}
HEARTH_HOST_DEVICE Bytes32 load32(const void* bytes) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(bytes));
}
/// `out` is aligned to 32 bytes.
HEARTH_HOST_DEVICE void store32(uint8_t* out, Bytes32 q) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(out), q);
}
HEARTH_HOST_DEVICE Bytes32 both_halves(Bytes16 v) { return _mm256_broadcastsi128_si256(v); }
/// The lower halves of two.
HEARTH_HOST_DEVICE Bytes32 join_low(Bytes32 low, Bytes32 high) {
  return _mm256_inserti128_si256(low, _mm256_castsi256_si128(high), 1);
}
HEARTH_HOST_DEVICE Bytes32 and_bytes(Bytes32 a, Bytes32 b) { return _mm256_and_si256(a, b); }
HEARTH_HOST_DEVICE Bytes32 or_bytes(Bytes32 a, Bytes32 b) { return _mm256_or_si256(a, b); }
HEARTH_HOST_DEVICE Bytes32 xor_bytes(Bytes32 a, Bytes32 b) { return _mm256_xor_si256(a, b); }
HEARTH_HOST_DEVICE Bytes32 add_bytes(Bytes32 a, Bytes32 b) { return _mm256_add_epi8(a, b); }
HEARTH_HOST_DEVICE Bytes32 sub_bytes(Bytes32 a, Bytes32 b) { return _mm256_sub_epi8(a, b); }

// Shifts of bytes. The bits that come in are of the next byte, or 0: whoever shifts masks them off.

template <int kBits>
HEARTH_HOST_DEVICE Bytes16 shift_right(Bytes16 v) {
  return _mm_srli_epi16(v, kBits);
}
template <int kBits>
HEARTH_HOST_DEVICE Bytes32 shift_right(Bytes32 v) {
  return _mm256_srli_epi16(v, kBits);
}
template <int kBits>
HEARTH_HOST_DEVICE Bytes32 shift_left(Bytes32 v) {
  return _mm256_slli_epi16(v, kBits);
}

/// Entries of a table of 16; codes are below 16.
HEARTH_HOST_DEVICE Bytes32 look_up(Bytes16 table, Bytes32 codes) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes);
}

/// All ones in the bytes that are at least `bound`, as unsigned numbers.
HEARTH_HOST_DEVICE Bytes32 where_at_least(Bytes32 v, int bound) {
  const __m256i limit = _mm256_set1_epi8(static_cast<char>(bound));
  return _mm256_cmpeq_epi8(_mm256_max_epu8(v, limit), v);
}

/// 32 half-bytes lying in pairs (i, i + 16).
HEARTH_HOST_DEVICE Bytes32 paired_nibbles(const uint8_t* qs) {
  const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(qs));
  const __m256i both =
      _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/// Byte i is all ones where bit i of the 32 bits is set, else zero.
HEARTH_HOST_DEVICE Bytes32 bytes_where(uint32_t bits) {
  // Each byte of bits is copied to the eight places that test its bits.
  const __m256i copies = _mm256_shuffle_epi8(
      _mm256_set1_epi32(static_cast<int32_t>(bits)),
      _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0));
  const __m256i select = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201ULL));
  return _mm256_cmpeq_epi8(_mm256_and_si256(copies, select), select);
}

/// In each half the first words of a, b, c and d.
HEARTH_HOST_DEVICE Bytes32 first_words(Bytes32 a, Bytes32 b, Bytes32 c, Bytes32 d) {
  return _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
}

HEARTH_HOST_DEVICE float load_f16(uint16_t bits) { return _cvtsh_ss(bits); }

/// d, eight times.
HEARTH_HOST_DEVICE void store_eight(float d, float* out) {
  _mm256_storeu_ps(out, _mm256_set1_ps(d));
}

/// d * values
template <typename... Values>
HEARTH_HOST_DEVICE void store_scaled(float d, float* out, Values... values) {
  static_assert(sizeof...(values) == 8);
  const __m256 floats = _mm256_cvtepi32_ps(_mm256_setr_epi32(values...));
  _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(d), floats));
}

/// d * bytes, of the first eight bytes as signed numbers.
HEARTH_HOST_DEVICE void store_scales_i8(float d, Bytes16 bytes, float* out) {
  const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_set1_ps(d), values));
}

/// d * bytes for 16 signed bytes of which the even ones belong to first halves of groups.
HEARTH_HOST_DEVICE void store_half_scales(float d, Bytes16 bytes, float* even, float* odd) {
  const __m128i split =
      _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
  store_scales_i8(d, split, even);
  store_scales_i8(d, _mm_unpackhi_epi64(split, split), odd);
}

/// 8 scales of IQ4_XS, -32 … 31: their low half-bytes, and two high bits each.
HEARTH_HOST_DEVICE Bytes16 scales_iq4xs(const uint8_t* scales_l, uint16_t scales_h) {
  uint32_t low;
  memcpy(&low, scales_l, sizeof(low));
  const __m128i nibbles =
      _mm_unpacklo_epi8(_mm_cvtsi32_si128(static_cast<int>(low & 0x0F0F0F0FU)),
                        _mm_cvtsi32_si128(static_cast<int>((low >> 4) & 0x0F0F0F0FU)));
  const uint64_t high = _pdep_u64(scales_h, 0x3030303030303030ULL);
  return _mm_sub_epi8(_mm_or_si128(nibbles, _mm_cvtsi64_si128(static_cast<int64_t>(high))),
                      _mm_set1_epi8(32));
}

}  // namespace hearth::kernels::simd
