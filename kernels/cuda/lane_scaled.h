#pragma once
// What one lane of tensor-core products takes from blocks of Q4_K and Q5_K. Their scales are
// integers below 64 and their codes below 32, so code times scale is an exact 16-bit float. The
// tests hold it against quant::unpack_group. Included by .cu files after simt.h.

#include "kernels/cuda/lane_unpack.h"

namespace hearth::kernels::HEARTH_SIMT {

/// The six-bit scales, or minima, of groups 0 to 3 (which 0) or 4 to 7 of a block, a byte each.
/// Both types' blocks begin with d, dmin and 12 bytes of these.
HEARTH_KERNEL uint32_t scale_bytes(const uint8_t* block, int which) {
  const uint32_t first = load_u32<4>(block + 4);
  if (which == 0) return first & 0x3F3F3F3FU;
  return (load_u32<4>(block + 12) & 0x0F0F0F0FU) | (first >> 2 & 0x30303030U);
}
HEARTH_KERNEL uint32_t min_bytes(const uint8_t* block, int which) {
  const uint32_t first = load_u32<4>(block + 8);
  if (which == 0) return first & 0x3F3F3F3FU;
  return (load_u32<4>(block + 12) >> 4 & 0x0F0F0F0FU) | (first >> 2 & 0x30303030U);
}

/// Byte i of a word as two f16. 0x6400 + byte is 1024 + byte.
HEARTH_KERNEL uint32_t twice_f16(uint32_t bytes, int i) {
  const auto selector = 0x4040U + 0x0101U * static_cast<uint32_t>(i);
  return simt::subtract_f16(simt::byte_permute(bytes, 0x64646464U, selector), 0x64006400U);
}

/// Of a chunk of 64 values: word[g] are those of its group g of 32, in the order of LaneHalves.
struct LaneChunk {
  uint32_t word[2][4];
};

/// Where the types differ: bits 4 of codes, as they are or (high half-bytes) 16 times as large.
template <typename Block>
struct FifthBits;

template <>
struct FifthBits<quant::BlockQ4_K> {
  static constexpr int kCodes = 16;  // bytes before the low four bits
  static HEARTH_KERNEL uint32_t load(const uint8_t*, int, int) { return 0; }
  static HEARTH_KERNEL uint32_t low(uint32_t, int) { return 0; }
  static HEARTH_KERNEL uint32_t high(uint32_t, int) { return 0; }
};

template <>
struct FifthBits<quant::BlockQ5_K> {
  static constexpr int kCodes = 48;
  static HEARTH_KERNEL uint32_t load(const uint8_t* block, int quad, int half) {
    return load_u32<4>(block + 16 + 16 * half + 4 * quad);
  }
  static HEARTH_KERNEL uint32_t low(uint32_t bits, int chunk) {
    return (bits >> (2 * chunk) & 0x00010001U) << 4;
  }
  static HEARTH_KERNEL uint32_t high(uint32_t bits, int chunk) {
    return (bits >> (2 * chunk + 1) & 0x00010001U) << 8;
  }
};

/// Codes times scales of chunk `chunk` of a block, with its half's scale_bytes(). A chunk's groups
/// are the low and the high half bytes of the same 32 bytes.
template <typename Block>
HEARTH_KERNEL LaneChunk scaled_chunk(const uint8_t* block, uint32_t scales, int chunk, int quad) {
  constexpr uint32_t kMinus1024 = 0xE400E400U;
  constexpr uint32_t kSixteenth = 0x2C002C00U;
  constexpr uint32_t kMinus64 = 0xD400D400U;
  using Fifth = FifthBits<Block>;
  const uint32_t scale[2] = {twice_f16(scales, chunk % 2 * 2),
                             twice_f16(scales, chunk % 2 * 2 + 1)};
  // low_halves() are 1024 + code, high_halves() 1024 + 16 code.
  const uint32_t low_start = simt::fma_f16(scale[0], kMinus1024, 0U);
  const uint32_t high_scale = simt::fma_f16(scale[1], kSixteenth, 0U);
  const uint32_t high_start = simt::fma_f16(scale[1], kMinus64, 0U);
  LaneChunk out;
  HEARTH_UNROLL
  for (int half = 0; half < 2; ++half) {
    const uint32_t codes = load_u32<4>(block + Fifth::kCodes + 32 * chunk + 16 * half + 4 * quad);
    const uint32_t fifth = Fifth::load(block, quad, half);
    HEARTH_UNROLL
    for (int odd = 0; odd < 2; ++odd) {
      const uint32_t low = low_halves(codes >> 8 * odd) | Fifth::low(fifth >> 8 * odd, chunk);
      const uint32_t high = high_halves(codes >> 8 * odd) | Fifth::high(fifth >> 8 * odd, chunk);
      out.word[0][2 * half + odd] = simt::fma_f16(low, scale[0], low_start);
      out.word[1][2 * half + odd] = simt::fma_f16(high, high_scale, high_start);
    }
  }
  return out;
}

}  // namespace hearth::kernels::HEARTH_SIMT
