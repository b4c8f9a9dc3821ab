#pragma once
// What one lane of two tensor-core products of 16 values each (kernels/cuda/simt.h) takes from a
// quantization block: of 32 values, elements 4 quad … + 3 and 16 + 4 quad … + 3 as bytes. The tests
// hold each one against quant::unpack_group. Included by .cu files after simt.h.

#include <cstdint>

#include "kernels/cuda/simt.h"
#include "kernels/quant/legacy_blocks.h"
#include "kernels/quant/unpack_codebook.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Bytes of the two runs of four elements. The value of a byte is itself less LaneUnpack::kOffset;
/// bytes are below zero only in types that are kSigned.
struct LaneCodes {
  uint32_t low;
  uint32_t high;
};

/// The same as 16-bit floats, less the offset, in the order of the products: elements 4 quad and
/// + 2, + 1 and + 3, and these of 16 on.
struct LaneHalves {
  uint32_t word[4];
};

/// scale[h] and min[h] as in quant::Group32; [1] is set where kTwoScales.
struct LaneScales {
  float scale[2];
  float min[2];
};

HEARTH_KERNEL uint32_t load_u16(const uint8_t* at) {
  return *reinterpret_cast<const uint16_t*>(at);
}
/// Four bytes at an address that is a multiple of kAlignment: 1, 2 or 4.
template <int kAlignment>
HEARTH_KERNEL uint32_t load_u32(const uint8_t* at) {
  if constexpr (kAlignment == 4) return *reinterpret_cast<const uint32_t*>(at);
  if constexpr (kAlignment == 2) return load_u16(at) | load_u16(at + 2) << 16;
  return at[0] | uint32_t{at[1]} << 8 | uint32_t{at[2]} << 16 | uint32_t{at[3]} << 24;
}
HEARTH_KERNEL float load_f16(const uint8_t* at) {
  return simt::half_to_float(*reinterpret_cast<const uint16_t*>(at));
}
HEARTH_KERNEL float load_f32(const uint8_t* at) { return *reinterpret_cast<const float*>(at); }

/// The low and the high half-bytes of four bytes.
HEARTH_KERNEL LaneCodes half_bytes(uint32_t word) {
  return {word & 0x0F0F0F0FU, word >> 4 & 0x0F0F0F0FU};
}

/// Half-bytes of bytes 0 and 2 of a word as two f16: the low ones more by 1024, the high ones 16
/// times as large and more by 1024. What arithmetic follows brings that back exactly.
HEARTH_KERNEL uint32_t low_halves(uint32_t word) { return (word & 0x000F000FU) | 0x64006400U; }
HEARTH_KERNEL uint32_t high_halves(uint32_t word) { return (word & 0x00F000F0U) | 0x64006400U; }

/// Bit i of the low four becomes bit 4 of byte i.
HEARTH_KERNEL uint32_t fifth_bits(uint32_t bits) {
  return ((bits & 15U) * 0x00204081U & 0x01010101U) << 4;
}

/// Values by 4-bit codes, four to a word.
struct ValueTable {
  uint32_t words[4];
};
/// quant::iq4_value: -127 -104 -83 -65, -49 -35 -22 -10, 1 13 25 38, 53 69 89 113.
inline constexpr ValueTable kIq4Values{{0xBFAD9881U, 0xF6EADDCFU, 0x26190D01U, 0x71594535U}};
/// quant::mxfp4_value: 0 1 2 3, 4 6 8 12, and the same below zero.
inline constexpr ValueTable kMxfp4Values{{0x03020100U, 0x0C080604U, 0xFDFEFF00U, 0xF4F8FAFCU}};

/// The values of the low and of the high half-bytes of four bytes.
HEARTH_KERNEL LaneCodes table_values(const ValueTable table, uint32_t word) {
  uint32_t pairs[2];  // values in the order of half-bytes: low and high of a byte side by side
  for (int i = 0; i < 2; ++i) {
    const uint32_t codes = word >> (16 * i) & 0xFFFFU;
    const uint32_t lower = simt::byte_permute(table.words[0], table.words[1], codes & 0x7777U);
    const uint32_t upper = simt::byte_permute(table.words[2], table.words[3], codes & 0x7777U);
    pairs[i] = simt::byte_permute(lower, upper, 0x3210U | (codes & 0x8888U) >> 1);
  }
  return {simt::byte_permute(pairs[0], pairs[1], 0x6420U),
          simt::byte_permute(pairs[0], pairs[1], 0x7531U)};
}

/// Any type, by its scalar definition: right, and slow. Types in use have their own below.
template <typename Block>
struct LaneUnpack {
  static constexpr bool kScalar = true;
  static constexpr int kOffset = 0;
  static constexpr bool kSigned = true;
  static constexpr bool kTwoScales = true;
  static constexpr bool kMin = true;

  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int group, int quad) {
    quant::Group32 unpacked;
    quant::unpack_group(*reinterpret_cast<const Block*>(block), group, unpacked);
    LaneCodes out{0, 0};
    for (int i = 0; i < 4; ++i) {
      out.low |= static_cast<uint32_t>(static_cast<uint8_t>(unpacked.q[4 * quad + i])) << (8 * i);
      out.high |= static_cast<uint32_t>(static_cast<uint8_t>(unpacked.q[16 + 4 * quad + i]))
                  << (8 * i);
    }
    return out;
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int group) {
    quant::Group32 unpacked;
    quant::unpack_group(*reinterpret_cast<const Block*>(block), group, unpacked);
    return {{unpacked.scale[0], unpacked.scale[1]}, {unpacked.min[0], unpacked.min[1]}};
  }
};

/// What types with one scale for 32 values share.
template <int kCodeOffset, bool kHasMin>
struct OneScale {
  static constexpr bool kScalar = false;
  static constexpr int kOffset = kCodeOffset;
  static constexpr bool kSigned = kCodeOffset == 0 && !kHasMin;
  static constexpr bool kTwoScales = false;
  static constexpr bool kMin = kHasMin;
};
/// What types with one scale for 16 values share.
template <int kCodeOffset, bool kHasMin>
struct TwoScales {
  static constexpr bool kScalar = false;
  static constexpr int kOffset = kCodeOffset;
  static constexpr bool kSigned = kCodeOffset == 0 && !kHasMin;
  static constexpr bool kTwoScales = true;
  static constexpr bool kMin = kHasMin;
};

template <>
struct LaneUnpack<quant::BlockQ4_0> : OneScale<8, false> {
  static HEARTH_KERNEL LaneHalves halves(const uint8_t* block, int, int quad) {
    constexpr uint32_t k1032 = 0x64086408U;
    constexpr uint32_t kSixteenth = 0x2C002C00U;
    constexpr uint32_t kMinus72 = 0xD480D480U;
    const uint32_t even = load_u32<2>(block + 2 + 4 * quad);
    const uint32_t odd = even >> 8;
    return {{simt::subtract_f16(low_halves(even), k1032),
             simt::subtract_f16(low_halves(odd), k1032),
             simt::fma_f16(high_halves(even), kSixteenth, kMinus72),
             simt::fma_f16(high_halves(odd), kSixteenth, kMinus72)}};
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f16(block), 0.0F}, {}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ4_1> : OneScale<0, true> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return half_bytes(load_u32<4>(block + 4 + 4 * quad));
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f16(block), 0.0F}, {-load_f16(block + 2), 0.0F}};
  }
};

HEARTH_KERNEL LaneCodes five_bits(uint32_t low_bits, uint32_t fifth, int quad) {
  LaneCodes codes = half_bytes(low_bits);
  codes.low |= fifth_bits(fifth >> (4 * quad));
  codes.high |= fifth_bits(fifth >> (16 + 4 * quad));
  return codes;
}

template <>
struct LaneUnpack<quant::BlockQ5_0> : OneScale<16, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return five_bits(load_u32<2>(block + 6 + 4 * quad), load_u32<2>(block + 2), quad);
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f16(block), 0.0F}, {}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ5_1> : OneScale<0, true> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return five_bits(load_u32<4>(block + 8 + 4 * quad), load_u32<4>(block + 4), quad);
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f16(block), 0.0F}, {-load_f16(block + 2), 0.0F}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ8_0> : OneScale<0, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return {load_u32<2>(block + 2 + 4 * quad), load_u32<2>(block + 18 + 4 * quad)};
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f16(block), 0.0F}, {}};
  }
};

template <>
struct LaneUnpack<quant::BlockIQ4_NL> : OneScale<0, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return table_values(kIq4Values, load_u32<2>(block + 2 + 4 * quad));
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f16(block), 0.0F}, {}};
  }
};

template <>
struct LaneUnpack<quant::BlockMXFP4> : OneScale<0, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return table_values(kMxfp4Values, load_u32<1>(block + 1 + 4 * quad));
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{quant::mxfp4_scale(block[0]), 0.0F}, {}};
  }
};

/// Bits [shift, shift + 2) of each byte.
HEARTH_KERNEL uint32_t two_bits(uint32_t word, int shift) { return word >> shift & 0x03030303U; }

template <>
struct LaneUnpack<quant::BlockQ2_K> : TwoScales<0, true> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int group, int quad) {
    const uint8_t* qs = block + 16 + 32 * (group / 4) + 4 * quad;
    const int shift = 2 * (group % 4);
    return {two_bits(load_u32<4>(qs), shift), two_bits(load_u32<4>(qs + 16), shift)};
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int group) {
    const float d = load_f16(block + 80);
    const float dmin = load_f16(block + 82);
    const uint32_t packed = load_u16(block + 2 * group);
    return {
        {d * static_cast<float>(packed & 15U), d * static_cast<float>(packed >> 8 & 15U)},
        {dmin * static_cast<float>(packed >> 4 & 15U), dmin * static_cast<float>(packed >> 12)}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ3_K> : TwoScales<4, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int group, int quad) {
    const uint8_t* qs = block + 32 + 32 * (group / 4) + 4 * quad;
    const uint8_t* hmask = block + 4 * quad;
    const int shift = 2 * (group % 4);
    return {two_bits(load_u32<2>(qs), shift) | third_bits(load_u32<2>(hmask), group),
            two_bits(load_u32<2>(qs + 16), shift) | third_bits(load_u32<2>(hmask + 16), group)};
  }
  static HEARTH_KERNEL uint32_t third_bits(uint32_t mask, int group) {
    return (mask >> group & 0x01010101U) << 2;
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int group) {
    const float d = load_f16(block + 108);
    const uint8_t* packed = block + 96;
    return {{d * static_cast<float>(quant::unpack_scale_q3k(packed, 2 * group)),
             d * static_cast<float>(quant::unpack_scale_q3k(packed, 2 * group + 1))},
            {}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ6_K> : TwoScales<32, false> {
  /// What four groups, 128 values, are made of: groups j and j + 2 are half-bytes of the same
  /// bytes, all four have two bits of each byte of `high`.
  struct Raw {
    uint32_t low[2][2];  // [j % 2][values from 0 or 16 on]
    uint32_t high[2];
    float d;
  };
  static HEARTH_KERNEL Raw load(const uint8_t* block, int which, int quad) {
    Raw out;
    const uint8_t* ql = block + 64 * which + 4 * quad;
    const uint8_t* qh = block + 128 + 32 * which + 4 * quad;
    HEARTH_UNROLL
    for (int half = 0; half < 2; ++half) {
      out.low[0][half] = load_u32<2>(ql + 16 * half);
      out.low[1][half] = load_u32<2>(ql + 32 + 16 * half);
      out.high[half] = load_u32<2>(qh + 16 * half);
    }
    out.d = load_f16(block + 208);
    return out;
  }
  static HEARTH_KERNEL uint32_t shifted(uint32_t word, int right) {
    return right >= 0 ? word >> right : word << -right;
  }
  static HEARTH_KERNEL LaneHalves halves(const Raw& raw, int group) {
    constexpr uint32_t k1056 = 0x64206420U;
    constexpr uint32_t kSixteenth = 0x2C002C00U;
    constexpr uint32_t kMinus96 = 0xD600D600U;
    const int j = group % 4;
    LaneHalves out;
    HEARTH_UNROLL
    for (int word = 0; word < 4; ++word) {
      const uint32_t low = (j % 2 == 0 ? raw.low[0] : raw.low[1])[word / 2] >> word % 2 * 8;
      const int from = word % 2 * 8 + 2 * j;  // where bit 4 of codes is
      const uint32_t high = raw.high[word / 2];
      out.word[word] =
          j < 2
              ? simt::subtract_f16(low_halves(low) | (shifted(high, from - 4) & 0x00300030U), k1056)
              : simt::fma_f16(high_halves(low) | (shifted(high, from - 8) & 0x03000300U),
                              kSixteenth, kMinus96);
    }
    return out;
  }
  static HEARTH_KERNEL LaneScales scales(const Raw& raw, const uint8_t* block, int group) {
    const uint32_t packed = load_u16(block + 192 + 2 * group);
    return {{raw.d * static_cast<float>(static_cast<int8_t>(packed)),
             raw.d * static_cast<float>(static_cast<int8_t>(packed >> 8))},
            {}};
  }
};

template <>
struct LaneUnpack<quant::BlockIQ4_XS> : OneScale<0, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int group, int quad) {
    return table_values(kIq4Values, load_u32<4>(block + 8 + 16 * group + 4 * quad));
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int group) {
    const int low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
    const auto high = static_cast<int>(load_u16(block + 2) >> (2 * group) & 3U);
    return {{load_f16(block) * static_cast<float>((low | high << 4) - 32), 0.0F}, {}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ4_0F32> : OneScale<8, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return half_bytes(load_u32<4>(block + 4 + 4 * quad));
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f32(block), 0.0F}, {}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ4_1F32> : OneScale<0, true> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return half_bytes(load_u32<4>(block + 8 + 4 * quad));
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f32(block), 0.0F}, {-load_f32(block + 4), 0.0F}};
  }
};

template <>
struct LaneUnpack<quant::BlockQ8_0F32> : OneScale<0, false> {
  static HEARTH_KERNEL LaneCodes codes(const uint8_t* block, int, int quad) {
    return {load_u32<4>(block + 4 + 4 * quad), load_u32<4>(block + 20 + 4 * quad)};
  }
  static HEARTH_KERNEL LaneScales scales(const uint8_t* block, int) {
    return {{load_f32(block), 0.0F}, {}};
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
