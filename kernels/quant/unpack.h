#pragma once
// One group of 32 values of a quantization block as integers and scales: the scalar definition of
// every quantized type, shared by dequantization, the reference matmul and the CUDA kernels.
// C++20: CUDA code includes this header.

#include <cstdint>

#include "kernels/quant/blocks.h"
#include "kernels/quant/half.h"

namespace hearth::quant {

/// x[i] = scale[i / 16] * q[i] - min[i / 16], in f32 arithmetic without fusing. Types with one
/// scale for 32 values have it twice.
struct Group32 {
  int8_t q[32];
  float scale[2];
  float min[2];
};

/// How many values one block of the type has.
template <typename Block>
inline constexpr int kBlockSize = 256;
template <>
inline constexpr int kBlockSize<BlockQ4_0> = 32;
template <>
inline constexpr int kBlockSize<BlockQ4_1> = 32;
template <>
inline constexpr int kBlockSize<BlockQ5_0> = 32;
template <>
inline constexpr int kBlockSize<BlockQ5_1> = 32;
template <>
inline constexpr int kBlockSize<BlockQ8_0> = 32;
template <>
inline constexpr int kBlockSize<BlockIQ4_NL> = 32;
template <>
inline constexpr int kBlockSize<BlockMXFP4> = 32;

HEARTH_HOST_DEVICE void set_scales(Group32& out, float scale, float min) {
  out.scale[0] = out.scale[1] = scale;
  out.min[0] = out.min[1] = min;
}

/// Element i of 32 whose half-bytes lie in pairs (i, i + 16).
HEARTH_HOST_DEVICE int paired_nibble(const uint8_t* qs, int i) {
  return i < 16 ? qs[i] & 15 : qs[i - 16] >> 4;
}

/// Bit i of 32 bits stored little-endian.
HEARTH_HOST_DEVICE int bit_of(const uint8_t* bytes, int i) { return (bytes[i / 8] >> (i % 8)) & 1; }

/// Scale and minimum of group g (of 8) from the 12 bytes of Q4_K and Q5_K.
HEARTH_HOST_DEVICE void unpack_scale_min(const uint8_t* scales, int g, int& scale, int& min) {
  if (g < 4) {
    scale = scales[g] & 63;
    min = scales[g + 4] & 63;
  } else {
    scale = (scales[g + 4] & 15) | ((scales[g - 4] >> 6) << 4);
    min = (scales[g + 4] >> 4) | ((scales[g] >> 6) << 4);
  }
}

/// Scale of group g (of 16) of Q3_K, -32 … 31.
HEARTH_HOST_DEVICE int unpack_scale_q3k(const uint8_t* scales, int g) {
  const int low = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
  const int high = (scales[8 + g % 4] >> (2 * (g / 4))) & 3;
  return (low | (high << 4)) - 32;
}

/// Scale of group g (of 8) of IQ4_XS, -32 … 31.
HEARTH_HOST_DEVICE int unpack_scale_iq4xs(const BlockIQ4_XS& block, int g) {
  const int low = (block.scales_l[g / 2] >> (4 * (g % 2))) & 15;
  const int high = (block.scales_h >> (2 * g)) & 3;
  return (low | (high << 4)) - 32;
}

/// Value of an IQ4 code; a table in registers or constant memory, as the compiler sees fit.
HEARTH_HOST_DEVICE int iq4_value(int code) {
  constexpr int8_t kValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
  return kValues[code];
}

/// Value of an MXFP4 code, doubled: a sign, two bits of exponent and one of mantissa.
HEARTH_HOST_DEVICE int mxfp4_value(int code) {
  constexpr int8_t kValues[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  return kValues[code];
}

/// 2^(e - 128): the scale of an MXFP4 block whose values are doubled. The two smallest are
/// subnormal.
HEARTH_HOST_DEVICE float mxfp4_scale(uint8_t e) {
  return float_from_bits(e < 2 ? 0x00200000U << e : static_cast<uint32_t>(e - 1) << 23);
}

/// Element i of group g of TQ1_0, 0 to 2.
HEARTH_HOST_DEVICE int ternary_digit(const BlockTQ1_0& block, int g, int i) {
  constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  const int at = 32 * g + i;
  int byte;
  int n;
  if (at < 160) {
    byte = block.qs[at % 32];
    n = at / 32;
  } else if (at < 240) {
    byte = block.qs[32 + at % 16];
    n = (at - 160) / 16;
  } else {
    byte = block.qh[at % 4];
    n = (at - 240) / 4;
  }
  return (byte * kPowers[n] & 255) * 3 >> 8;
}

// unpack_group(block, g, out): the g-th 32 values of a block.

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_0& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(paired_nibble(block.qs, i) - 8);
  set_scales(out, f16_to_f32(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_1& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(paired_nibble(block.qs, i));
  set_scales(out, f16_to_f32(block.d), -f16_to_f32(block.m));
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ5_0& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i)
    out.q[i] = static_cast<int8_t>((paired_nibble(block.qs, i) | (bit_of(block.qh, i) << 4)) - 16);
  set_scales(out, f16_to_f32(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ5_1& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i)
    out.q[i] = static_cast<int8_t>(paired_nibble(block.qs, i) | (bit_of(block.qh, i) << 4));
  set_scales(out, f16_to_f32(block.d), -f16_to_f32(block.m));
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ8_0& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = block.qs[i];
  set_scales(out, f16_to_f32(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockIQ4_NL& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i)
    out.q[i] = static_cast<int8_t>(iq4_value(paired_nibble(block.qs, i)));
  set_scales(out, f16_to_f32(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ2_K& block, int g, Group32& out) {
  const uint8_t* qs = block.qs + 32 * (g / 4);
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>((qs[i] >> (2 * (g % 4))) & 3);
  const float d = f16_to_f32(block.d);
  const float dmin = f16_to_f32(block.dmin);
  for (int half = 0; half < 2; ++half) {
    const int packed = block.scales[2 * g + half];
    out.scale[half] = d * static_cast<float>(packed & 15);
    out.min[half] = dmin * static_cast<float>(packed >> 4);
  }
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ3_K& block, int g, Group32& out) {
  const uint8_t* qs = block.qs + 32 * (g / 4);
  for (int i = 0; i < 32; ++i) {
    const int low = (qs[i] >> (2 * (g % 4))) & 3;
    out.q[i] = static_cast<int8_t>((low | (((block.hmask[i] >> g) & 1) << 2)) - 4);
  }
  const float d = f16_to_f32(block.d);
  for (int half = 0; half < 2; ++half) {
    out.scale[half] = d * static_cast<float>(unpack_scale_q3k(block.scales, 2 * g + half));
    out.min[half] = 0.0F;
  }
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_K& block, int g, Group32& out) {
  const uint8_t* qs = block.qs + 32 * (g / 2);
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>((qs[i] >> (4 * (g % 2))) & 15);
  int scale;
  int min;
  unpack_scale_min(block.scales, g, scale, min);
  set_scales(out, f16_to_f32(block.d) * static_cast<float>(scale),
             f16_to_f32(block.dmin) * static_cast<float>(min));
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ5_K& block, int g, Group32& out) {
  const uint8_t* qs = block.qs + 32 * (g / 2);
  for (int i = 0; i < 32; ++i) {
    const int low = (qs[i] >> (4 * (g % 2))) & 15;
    out.q[i] = static_cast<int8_t>(low | (((block.qh[i] >> g) & 1) << 4));
  }
  int scale;
  int min;
  unpack_scale_min(block.scales, g, scale, min);
  set_scales(out, f16_to_f32(block.d) * static_cast<float>(scale),
             f16_to_f32(block.dmin) * static_cast<float>(min));
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ6_K& block, int g, Group32& out) {
  const int j = g % 4;  // group within the half of 128 values
  const uint8_t* ql = block.ql + 64 * (g / 4) + 32 * (j & 1);
  const uint8_t* qh = block.qh + 32 * (g / 4);
  for (int i = 0; i < 32; ++i) {
    const int low = (ql[i] >> (4 * (j / 2))) & 15;
    out.q[i] = static_cast<int8_t>((low | (((qh[i] >> (2 * j)) & 3) << 4)) - 32);
  }
  const float d = f16_to_f32(block.d);
  for (int half = 0; half < 2; ++half) {
    out.scale[half] = d * static_cast<float>(block.scales[2 * g + half]);
    out.min[half] = 0.0F;
  }
}

HEARTH_HOST_DEVICE void unpack_group(const BlockIQ4_XS& block, int g, Group32& out) {
  const uint8_t* qs = block.qs + 16 * g;
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(iq4_value(paired_nibble(qs, i)));
  set_scales(out, f16_to_f32(block.d) * static_cast<float>(unpack_scale_iq4xs(block, g)), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockMXFP4& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i)
    out.q[i] = static_cast<int8_t>(mxfp4_value(paired_nibble(block.qs, i)));
  set_scales(out, mxfp4_scale(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockTQ1_0& block, int g, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(ternary_digit(block, g, i) - 1);
  set_scales(out, f16_to_f32(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockTQ2_0& block, int g, Group32& out) {
  const uint8_t* qs = block.qs + 32 * (g / 4);
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(((qs[i] >> (2 * (g % 4))) & 3) - 1);
  set_scales(out, f16_to_f32(block.d), 0.0F);
}

}  // namespace hearth::quant
