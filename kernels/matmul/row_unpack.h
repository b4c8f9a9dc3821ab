#pragma once
// Quantized weights to bytes and f32 scales, block by block, lanes being groups: what row_chunk.h
// puts together. Everything is always inlined (see HEARTH_HOST_DEVICE).

#include <cstring>

#include "kernels/matmul/panel_load.h"

namespace hearth::kernels::simd {

/// Up to 16 groups of one row of weights.
struct alignas(64) Chunk {
  uint8_t q[kChunkValues];
  float scale[2][kChunkGroups];
  float min[2][kChunkGroups];
};

/// Bytes (v >> shift) & mask.
template <int kShift>
HEARTH_HOST_DEVICE Bytes32 field(Bytes32 v, int mask) {
  return and_bytes(shift_right<kShift>(v), repeat32(mask));
}

/// 16 in byte i where bit i of the 32 bits is set.
HEARTH_HOST_DEVICE Bytes32 fifth_bits(const uint8_t* qh) {
  uint32_t bits;
  memcpy(&bits, qh, sizeof(bits));
  return and_bytes(bytes_where(bits), repeat32(16));
}

/// IQ4 codes to their values; kSigned as they are, else + 128.
template <bool kSigned>
HEARTH_HOST_DEVICE Bytes32 iq4_values(Bytes32 codes) {
  const Bytes16 table =
      bytes16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  const Bytes32 values = look_up(table, codes);
  return kSigned ? values : xor_bytes(values, repeat32(-128));
}

/// MXFP4 codes to their values, plus 12.
HEARTH_HOST_DEVICE Bytes32 mxfp4_values(Bytes32 codes) {
  return look_up(bytes16(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0), codes);
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
  store_scales_i8(d, bytes8(all_scales), scale);
  store_scales_i8(dmin, bytes8(all_mins), min);
}

// group_bytes<Isa>(block): the values of a block of 32 as bytes of Form, in order.

template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockQ4_0& block) {
  return paired_nibbles(block.qs);
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockQ4_1& block) {
  return paired_nibbles(block.qs);
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockQ5_0& block) {
  return or_bytes(paired_nibbles(block.qs), fifth_bits(block.qh));
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockQ5_1& block) {
  return or_bytes(paired_nibbles(block.qs), fifth_bits(block.qh));
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockQ8_0& block) {
  const Bytes32 values = load32(block.qs);
  return Isa::kSignedWide ? values : xor_bytes(values, repeat32(-128));
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockIQ4_NL& block) {
  return iq4_values<Isa::kSignedWide>(paired_nibbles(block.qs));
}
template <typename Isa>
HEARTH_HOST_DEVICE Bytes32 group_bytes(const BlockMXFP4& block) {
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
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ4_K& block, uint8_t* q) {
  for (int pair = 0; pair < 4; ++pair) {
    const Bytes32 packed = load32(block.qs + 32 * pair);
    Isa::store64(q + 64 * pair, field<0>(packed, 15), field<4>(packed, 15));
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ5_K& block, uint8_t* q) {
  Bytes32 high = load32(block.qh);  // its lowest bits are the current group's
  const auto fifth_bit = [&] {
    const Bytes32 bit = and_bytes(shift_left<4>(high), repeat32(16));
    high = shift_right<1>(high);
    return bit;
  };
  for (int pair = 0; pair < 4; ++pair) {
    const Bytes32 packed = load32(block.qs + 32 * pair);
    const Bytes32 first = or_bytes(field<0>(packed, 15), fifth_bit());
    const Bytes32 second = or_bytes(field<4>(packed, 15), fifth_bit());
    Isa::store64(q + 64 * pair, first, second);
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void unpack_bytes(const BlockQ6_K& block, uint8_t* q) {
  const auto high = [](Bytes32 two_bits) { return shift_left<4>(two_bits); };
  for (int half = 0; half < 2; ++half) {
    const Bytes32 first = load32(block.ql + 64 * half);
    const Bytes32 second = load32(block.ql + 64 * half + 32);
    const Bytes32 qh = load32(block.qh + 32 * half);
    Isa::store64(q + 128 * half, or_bytes(field<0>(first, 15), high(field<0>(qh, 3))),
                 or_bytes(field<0>(second, 15), high(field<2>(qh, 3))));
    Isa::store64(q + 128 * half + 64, or_bytes(field<4>(first, 15), high(field<4>(qh, 3))),
                 or_bytes(field<4>(second, 15), high(field<6>(qh, 3))));
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
  store_scales_i8(load_f16(block.d), scales_iq4xs(block.scales_l, block.scales_h),
                  chunk.scale[0] + g);
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
  store_half_scales(load_f16(block.d), load16(block.scales), chunk.scale[0] + g,
                    chunk.scale[1] + g);
}

}  // namespace hearth::kernels::simd
