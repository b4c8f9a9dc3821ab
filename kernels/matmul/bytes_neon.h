#pragma once
// Bytes16 and Bytes32 (see bytes.h) for AArch64: the same names and meanings as in bytes_avx2.h.
// Everything is always inlined (see HEARTH_HOST_DEVICE).

#include <cstring>

#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"

namespace hearth::kernels::simd {

using Bytes16 = uint8x16_t;
struct Bytes32 {
  uint8x16_t low;
  uint8x16_t high;
};

template <typename... Values>
HEARTH_HOST_DEVICE Bytes16 bytes16(Values... values) {
  static_assert(sizeof...(values) == 16);
  const uint8_t bytes[16] = {static_cast<uint8_t>(values)...};
  return vld1q_u8(bytes);
}
HEARTH_HOST_DEVICE Bytes16 repeat16(int value) { return vdupq_n_u8(static_cast<uint8_t>(value)); }
HEARTH_HOST_DEVICE Bytes16 load16(const void* bytes) {
  return vld1q_u8(static_cast<const uint8_t*>(bytes));
}
HEARTH_HOST_DEVICE Bytes16 bytes8(uint64_t bytes) {
  return vcombine_u8(vcreate_u8(bytes), vdup_n_u8(0));
}
HEARTH_HOST_DEVICE Bytes16 and_bytes(Bytes16 a, Bytes16 b) { return vandq_u8(a, b); }
HEARTH_HOST_DEVICE Bytes16 add_bytes(Bytes16 a, Bytes16 b) { return vaddq_u8(a, b); }

HEARTH_HOST_DEVICE Bytes32 both_halves(Bytes16 v) { return {v, v}; }
HEARTH_HOST_DEVICE Bytes32 repeat32(int value) { return both_halves(repeat16(value)); }
HEARTH_HOST_DEVICE Bytes32 repeat_word(uint32_t value) {
  return both_halves(vreinterpretq_u8_u32(vdupq_n_u32(value)));
}
HEARTH_HOST_DEVICE Bytes32 load32(const void* bytes) {
  const auto* p = static_cast<const uint8_t*>(bytes);
  return {vld1q_u8(p), vld1q_u8(p + 16)};
}
HEARTH_HOST_DEVICE void store32(uint8_t* out, Bytes32 q) {
  vst1q_u8(out, q.low);
  vst1q_u8(out + 16, q.high);
}
HEARTH_HOST_DEVICE Bytes32 join_low(Bytes32 low, Bytes32 high) { return {low.low, high.low}; }
HEARTH_HOST_DEVICE Bytes32 and_bytes(Bytes32 a, Bytes32 b) {
  return {vandq_u8(a.low, b.low), vandq_u8(a.high, b.high)};
}
HEARTH_HOST_DEVICE Bytes32 or_bytes(Bytes32 a, Bytes32 b) {
  return {vorrq_u8(a.low, b.low), vorrq_u8(a.high, b.high)};
}
HEARTH_HOST_DEVICE Bytes32 xor_bytes(Bytes32 a, Bytes32 b) {
  return {veorq_u8(a.low, b.low), veorq_u8(a.high, b.high)};
}
HEARTH_HOST_DEVICE Bytes32 add_bytes(Bytes32 a, Bytes32 b) {
  return {vaddq_u8(a.low, b.low), vaddq_u8(a.high, b.high)};
}
HEARTH_HOST_DEVICE Bytes32 sub_bytes(Bytes32 a, Bytes32 b) {
  return {vsubq_u8(a.low, b.low), vsubq_u8(a.high, b.high)};
}

template <int kBits>
HEARTH_HOST_DEVICE Bytes16 shift_right(Bytes16 v) {
  if constexpr (kBits == 0)
    return v;
  else
    return vshrq_n_u8(v, kBits);
}
template <int kBits>
HEARTH_HOST_DEVICE Bytes32 shift_right(Bytes32 v) {
  return {shift_right<kBits>(v.low), shift_right<kBits>(v.high)};
}
template <int kBits>
HEARTH_HOST_DEVICE Bytes32 shift_left(Bytes32 v) {
  return {vshlq_n_u8(v.low, kBits), vshlq_n_u8(v.high, kBits)};
}

HEARTH_HOST_DEVICE Bytes32 look_up(Bytes16 table, Bytes32 codes) {
  return {vqtbl1q_u8(table, codes.low), vqtbl1q_u8(table, codes.high)};
}

HEARTH_HOST_DEVICE Bytes32 where_at_least(Bytes32 v, int bound) {
  return {vcgeq_u8(v.low, repeat16(bound)), vcgeq_u8(v.high, repeat16(bound))};
}

HEARTH_HOST_DEVICE Bytes32 paired_nibbles(const uint8_t* qs) {
  const uint8x16_t packed = vld1q_u8(qs);
  return {vandq_u8(packed, repeat16(15)), vshrq_n_u8(packed, 4)};
}

HEARTH_HOST_DEVICE Bytes32 bytes_where(uint32_t bits) {
  const uint8x16_t all = vreinterpretq_u8_u32(vdupq_n_u32(bits));
  const uint8x16_t select = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ULL));
  // Each byte of bits is copied to the eight places that test its bits.
  const uint8x16_t first = bytes16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const uint8x16_t second = vaddq_u8(first, repeat16(2));
  return {vtstq_u8(vqtbl1q_u8(all, first), select), vtstq_u8(vqtbl1q_u8(all, second), select)};
}

HEARTH_HOST_DEVICE Bytes32 first_words(Bytes32 a, Bytes32 b, Bytes32 c, Bytes32 d) {
  const auto words = [](Bytes16 v) { return vreinterpretq_u32_u8(v); };
  const auto half = [&](Bytes16 w, Bytes16 x, Bytes16 y, Bytes16 z) {
    const uint64x2_t wx = vreinterpretq_u64_u32(vzip1q_u32(words(w), words(x)));
    const uint64x2_t yz = vreinterpretq_u64_u32(vzip1q_u32(words(y), words(z)));
    return vreinterpretq_u8_u64(vzip1q_u64(wx, yz));
  };
  return {half(a.low, b.low, c.low, d.low), half(a.high, b.high, c.high, d.high)};
}

HEARTH_HOST_DEVICE float load_f16(uint16_t bits) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0);
}

HEARTH_HOST_DEVICE void store_eight(float d, float* out) {
  vst1q_f32(out, vdupq_n_f32(d));
  vst1q_f32(out + 4, vdupq_n_f32(d));
}

template <typename... Values>
HEARTH_HOST_DEVICE void store_scaled(float d, float* out, Values... values) {
  static_assert(sizeof...(values) == 8);
  const int32_t all[8] = {values...};
  vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vld1q_s32(all)), d));
  vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_s32(vld1q_s32(all + 4)), d));
}

HEARTH_HOST_DEVICE void store_scales_i8(float d, Bytes16 bytes, float* out) {
  const int16x8_t words = vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(bytes)));
  vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))), d));
  vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(words)), d));
}

HEARTH_HOST_DEVICE void store_half_scales(float d, Bytes16 bytes, float* even, float* odd) {
  store_scales_i8(d, vuzp1q_u8(bytes, bytes), even);
  store_scales_i8(d, vuzp2q_u8(bytes, bytes), odd);
}

HEARTH_HOST_DEVICE Bytes16 scales_iq4xs(const uint8_t* scales_l, uint16_t scales_h) {
  uint32_t low;
  memcpy(&low, scales_l, sizeof(low));
  const uint8x8_t packed = vreinterpret_u8_u32(vdup_n_u32(low));
  const uint8x8_t low4 = vzip1_u8(vand_u8(packed, vdup_n_u8(15)), vshr_n_u8(packed, 4));
  constexpr int16_t kShift[8] = {0, -2, -4, -6, -8, -10, -12, -14};
  const uint16x8_t pairs = vshlq_u16(vdupq_n_u16(scales_h), vld1q_s16(kShift));
  const uint8x8_t high2 = vand_u8(vmovn_u16(pairs), vdup_n_u8(3));
  const uint8x8_t scales = vsub_u8(vorr_u8(low4, vshl_n_u8(high2, 4)), vdup_n_u8(32));
  return vcombine_u8(scales, scales);
}

}  // namespace hearth::kernels::simd
