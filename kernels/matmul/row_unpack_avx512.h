#pragma once
// AVX-512 ways to unpack a full chunk of 16 blocks of 32 values (see row_unpack.h): two blocks a
// vector, and the scales of four blocks an instruction.

#include "kernels/matmul/row_unpack.h"

namespace hearth::kernels::simd {

/// Loads 64 bytes, of which only the first `kBytes` need exist for the last pair of a chunk.
template <int kBytes>
HEARTH_HOST_DEVICE __m512i load_pair(const uint8_t* p, bool is_last) {
  if (!is_last) return _mm512_loadu_si512(p);
  return _mm512_maskz_loadu_epi8((uint64_t{1} << kBytes) - 1, p);
}

/// The 16-bit words at byte `kAt` of 16 blocks, widened from f16. One permutation takes the words
/// of as many blocks as begin within 64 bytes; all permutations share their indices, masks put the
/// words in their lanes.
template <typename Block, int kAt>
HEARTH_HOST_DEVICE __m512 load_strided_f16(const Block* blocks) {
  constexpr int kWords = sizeof(Block) / 2;
  constexpr int kPer = (31 - kAt / 2) / kWords + 1;
  alignas(64) static constexpr auto kIndex = [] {
    struct Table {
      uint16_t at[32];
    } table{};
    for (int i = 0; i < 16; ++i) table.at[i] = static_cast<uint16_t>(i % kPer * kWords + kAt / 2);
    return table;
  }();
  const __m512i index = _mm512_load_si512(kIndex.at);
  __m512i words = _mm512_setzero_si512();
  for (int first = 0; first < 16; first += kPer) {
    const bool past_end = first * sizeof(Block) + 64 > 16 * sizeof(Block);
    const auto* p = reinterpret_cast<const uint8_t*>(blocks + first);
    const __m512i bytes =
        past_end ? _mm512_maskz_loadu_epi8((uint64_t{1} << (16 - first) * sizeof(Block)) - 1, p)
                 : _mm512_loadu_si512(p);
    const auto lanes = static_cast<__mmask32>(((1U << kPer) - 1) << first & 0xFFFFU);
    words = _mm512_mask_permutexvar_epi16(words, lanes, index, bytes);
  }
  return _mm512_cvtph_ps(_mm512_castsi512_si256(words));
}

/// Half-bytes of blocks 2 p and 2 p + 1, in order: 64 bytes.
template <typename Block>
HEARTH_HOST_DEVICE __m512i nibbles_of_pair(const Block* blocks, int p) {
  constexpr int kQs = static_cast<int>(sizeof(Block)) - 16;  // qs ends every such block
  static_assert(offsetof(Block, qs) == kQs);
  alignas(64) static constexpr auto kIndex = [] {
    struct Table {
      uint8_t at[64];
    } table{};
    for (int i = 0; i < 64; ++i)
      table.at[i] = static_cast<uint8_t>(kQs + (i / 32) * static_cast<int>(sizeof(Block)) + i % 16);
    return table;
  }();
  const auto* bytes = reinterpret_cast<const uint8_t*>(blocks + 2 * p);
  const __m512i packed = _mm512_permutexvar_epi8(
      _mm512_load_si512(kIndex.at), load_pair<2 * static_cast<int>(sizeof(Block))>(bytes, p == 7));
  // 16 bytes with shift 0, 16 with shift 4, for each block.
  const __m512i shift = _mm512_setr_epi64(0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0,
                                          0x0004000400040004, 0x0004000400040004);
  return _mm512_and_si512(_mm512_srlv_epi16(packed, shift), _mm512_set1_epi8(15));
}

/// 16 added where the fifth bits of blocks 2 p and 2 p + 1 are set.
template <typename Block>
HEARTH_HOST_DEVICE __m512i add_fifth_bits(const Block* blocks, int p, __m512i codes) {
  uint32_t first;
  uint32_t second;
  memcpy(&first, blocks[2 * p].qh, sizeof(first));
  memcpy(&second, blocks[2 * p + 1].qh, sizeof(second));
  const __mmask64 is_set = first | (static_cast<uint64_t>(second) << 32);
  return _mm512_mask_add_epi8(codes, is_set, codes, _mm512_set1_epi8(16));
}

HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockQ4_0* blocks, int p) {
  return nibbles_of_pair(blocks, p);
}
HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockQ4_1* blocks, int p) {
  return nibbles_of_pair(blocks, p);
}
HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockQ5_0* blocks, int p) {
  return add_fifth_bits(blocks, p, nibbles_of_pair(blocks, p));
}
HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockQ5_1* blocks, int p) {
  return add_fifth_bits(blocks, p, nibbles_of_pair(blocks, p));
}
HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockIQ4_NL* blocks, int p) {
  const __m128i values =
      _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  const __m128i table = _mm_xor_si128(values, _mm_set1_epi8(-128));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), nibbles_of_pair(blocks, p));
}
HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockQ8_0* blocks, int p) {
  const __m512i values = _mm512_inserti64x4(_mm512_castsi256_si512(load32(blocks[2 * p].qs)),
                                            load32(blocks[2 * p + 1].qs), 1);
  return _mm512_xor_si512(values, _mm512_set1_epi8(-128));
}

HEARTH_HOST_DEVICE __m512i bytes_of_pair(const BlockMXFP4* blocks, int p) {
  const __m256i every = _mm256_set_epi64x(0x0F0E0D0C0B0A0908, 0x0706050403020100,
                                          0x0F0E0D0C0B0A0908, 0x0706050403020100);
  const __m512i table = _mm512_broadcast_i64x4(mxfp4_values(every));
  return _mm512_shuffle_epi8(table, nibbles_of_pair(blocks, p));
}

template <typename Block>
HEARTH_HOST_DEVICE void unpack_full_avx512(const Block* blocks, Chunk& chunk) {
  for (int p = 0; p < 8; ++p) _mm512_store_si512(chunk.q + 64 * p, bytes_of_pair(blocks, p));
  _mm512_store_ps(chunk.scale[0], load_strided_f16<Block, offsetof(Block, d)>(blocks));
  if constexpr (requires { blocks->m; }) {
    const __m512 m = load_strided_f16<Block, offsetof(Block, m)>(blocks);
    _mm512_store_ps(chunk.min[0], _mm512_xor_ps(m, _mm512_set1_ps(-0.0F)));
  }
}

HEARTH_HOST_DEVICE void unpack_full_avx512(const BlockMXFP4* blocks, Chunk& chunk) {
  for (int p = 0; p < 8; ++p) _mm512_store_si512(chunk.q + 64 * p, bytes_of_pair(blocks, p));
  // Words that begin at each block: their lowest byte is the exponent.
  static_assert(offsetof(BlockMXFP4, d) == 0);
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i at = _mm512_mullo_epi32(lane, _mm512_set1_epi32(sizeof(BlockMXFP4)));
  const __m512i exponents =
      _mm512_and_si512(_mm512_i32gather_epi32(at, blocks, 1), _mm512_set1_epi32(255));
  // As mxfp4_scale.
  const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(exponents, _mm512_set1_epi32(1)), 23);
  const __m512i bits =
      _mm512_mask_sllv_epi32(normal, _mm512_cmplt_epi32_mask(exponents, _mm512_set1_epi32(2)),
                             _mm512_set1_epi32(0x00200000), exponents);
  _mm512_store_ps(chunk.scale[0], _mm512_castsi512_ps(bits));
}

}  // namespace hearth::kernels::simd
