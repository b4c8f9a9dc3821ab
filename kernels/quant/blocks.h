#pragma once
// Quantization blocks as they lie in GGUF files. All have alignment 2 or less (a block of a mapped
// file may start at any even address) and are little-endian. C++20: CUDA code includes this header.

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace hearth::quant {

using F16 = uint16_t;  // the bits of an IEEE binary16

// Blocks of 32 values. Four-bit values lie in pairs: the low half-byte of qs[i] is element i, the
// high half-byte element i + 16.

/// x = d * (q - 8)
struct BlockQ4_0 {
  static constexpr DType kType = DType::kQ4_0;
  F16 d;
  uint8_t qs[16];
};

/// x = d * q + m
struct BlockQ4_1 {
  static constexpr DType kType = DType::kQ4_1;
  F16 d;
  F16 m;
  uint8_t qs[16];
};

/// x = d * (q - 16); bit i of qh (little-endian) is the fifth bit of element i.
struct BlockQ5_0 {
  static constexpr DType kType = DType::kQ5_0;
  F16 d;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// x = d * q + m; qh as in Q5_0.
struct BlockQ5_1 {
  static constexpr DType kType = DType::kQ5_1;
  F16 d;
  F16 m;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// x = d * q
struct BlockQ8_0 {
  static constexpr DType kType = DType::kQ8_0;
  F16 d;
  int8_t qs[32];
};

/// x = d * iq4_value(q)
struct BlockIQ4_NL {
  static constexpr DType kType = DType::kIQ4_NL;
  F16 d;
  uint8_t qs[16];
};

/// x = 2^(d - 128) * mxfp4_value(q): E2M1 values, doubled to be integers, and an E8M0 scale (OCP
/// Microscaling Formats 1.0).
struct BlockMXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  uint8_t d;
  uint8_t qs[16];
};

// Blocks of 256 values with a second level of integer scales: 8 groups of 32 or 16 groups of 16.

/// x = d * (scales[g] & 15) * q - dmin * (scales[g] >> 4), g = group of 16. Two-bit q: element
/// 128 h + 32 j + l is (qs[32 h + l] >> 2 j) & 3.
struct BlockQ2_K {
  static constexpr DType kType = DType::kQ2_K;
  uint8_t scales[16];
  uint8_t qs[64];
  F16 d;
  F16 dmin;
};

/// x = d * (scale[g] - 32) * (q - 4), g = group of 16. Low two bits of q as in Q2_K; the third bit
/// of element 128 h + 32 j + l is bit 4 h + j of hmask[l]. Scales are 6 bits: the low four are the
/// half-bytes of scales[0..8), first all low ones, the high two are in scales[8..12).
struct BlockQ3_K {
  static constexpr DType kType = DType::kQ3_K;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  F16 d;
};

/// x = d * scale[g] * q - dmin * min[g], g = group of 32. The low half-bytes of qs[32 j ..] are
/// group 2 j, the high ones group 2 j + 1. Scales and minima are 6 bits, packed in 12 bytes.
struct BlockQ4_K {
  static constexpr DType kType = DType::kQ4_K;
  F16 d;
  F16 dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

/// As Q4_K; the fifth bit of element l of group g is bit g of qh[l].
struct BlockQ5_K {
  static constexpr DType kType = DType::kQ5_K;
  F16 d;
  F16 dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

/// x = d * scales[g] * (q - 32), g = group of 16. In each half of 128 values, 32-value group j has
/// its low four bits in ql[64 h + 32 (j & 1) ..], the low half-bytes for j < 2, and its high two
/// bits in qh[32 h ..] at bit 2 j.
struct BlockQ6_K {
  static constexpr DType kType = DType::kQ6_K;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  F16 d;
};

/// x = d * (scale[g] - 32) * iq4_value(q), g = group of 32, values in pairs as in IQ4_NL. Scales
/// are 6 bits: low four in scales_l, high two in scales_h.
struct BlockIQ4_XS {
  static constexpr DType kType = DType::kIQ4_XS;
  F16 d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};

// Ternary types: x = d * q, q = -1, 0 or 1, one scale for 256 values.

/// Digits of base 3. Byte b holds the first five binary digits of a fraction 0.xyz… of base 3,
/// rounded up to a multiple of 1/256: digit n is the integer part of 3 * (3^n b / 256 mod 1).
/// Element 32 n + i is digit n of qs[i], i < 32; 160 + 16 n + i that of qs[32 + i], i < 16;
/// 240 + 4 n + i that of qh[i].
struct BlockTQ1_0 {
  static constexpr DType kType = DType::kTQ1_0;
  uint8_t qs[48];
  uint8_t qh[4];
  F16 d;
};

/// Two bits, q + 1, as in Q2_K.
struct BlockTQ2_0 {
  static constexpr DType kType = DType::kTQ2_0;
  uint8_t qs[64];
  F16 d;
};

// Types with code books (kernels/quant/codebooks.h): indices of vectors of 8 (IQ3: 4) values, 8
// groups g of 32 values. In IQ2 and IQ3 a vector has magnitudes and each value a sign bit, 1 being
// minus; where a vector has seven bits, the sign of its last value makes the number of minus signs
// even. Scales are odd: x = (d / 8) * (2 s + 1) * q in IQ2 and IQ1, d / 4 in IQ3_XXS, d in IQ3_S.

/// Of each group, four indices, then 32 bits: seven signs of each vector, and s in the top four.
struct BlockIQ2_XXS {
  static constexpr DType kType = DType::kIQ2_XXS;
  F16 d;
  uint8_t qs[64];
};

/// qs: an index of 9 bits and seven signs. The half-bytes of scales[g] are s of the group's halves.
struct BlockIQ2_XS {
  static constexpr DType kType = DType::kIQ2_XS;
  F16 d;
  uint16_t qs[32];
  uint8_t scales[8];
};

/// Indices of 10 bits: vector v of a group has bits 2 v of qh[g] on top. Signs are whole bytes.
struct BlockIQ2_S {
  static constexpr DType kType = DType::kIQ2_S;
  F16 d;
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];  // as IQ2_XS
};

/// Eight indices a group; the last 32 bytes are signs and s of each group as in IQ2_XXS.
struct BlockIQ3_XXS {
  static constexpr DType kType = DType::kIQ3_XXS;
  F16 d;
  uint8_t qs[64];
  uint8_t signs[32];
};

/// Indices of 9 bits: vector v of a group has bit v of qh[g] on top. Half-byte g of scales is s.
struct BlockIQ3_S {
  static constexpr DType kType = DType::kIQ3_S;
  F16 d;
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};

/// Indices of 11 bits: vector v of a group has bits 3 v of qh[g] on top. Above them s (3 bits) and
/// a sign: to all values of the group an eighth is added, or taken away where it is set.
struct BlockIQ1_S {
  static constexpr DType kType = DType::kIQ1_S;
  F16 d;
  uint8_t qs[32];
  uint16_t qh[8];
};

/// As IQ1_S, but half-byte v of qh has the three top bits of index v and, above them, the sign of
/// its eighth; s is for 16 values. `scales` are four words of 16 bits: s of half h of group g at
/// bit 3 (2 g + h) % 12 of word g / 2; their top half-bytes together are the f16 d, lowest first.
struct BlockIQ1_M {
  static constexpr DType kType = DType::kIQ1_M;
  uint8_t qs[32];
  uint8_t qh[16];
  uint8_t scales[8];
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockIQ4_NL) == 18);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176);
static_assert(sizeof(BlockQ6_K) == 210 && sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockMXFP4) == 17 && sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66);
static_assert(sizeof(BlockIQ2_XXS) == 66 && sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82);
static_assert(sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110);
static_assert(sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56);
static_assert(alignof(BlockQ6_K) == 2 && alignof(BlockIQ4_XS) == 2 && alignof(BlockQ3_K) == 2);

}  // namespace hearth::quant
