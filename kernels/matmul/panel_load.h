#pragma once
// Quantized weights to panels: kLanes rows of weights side by side, lane i being row i.
//
// The packed codes are transposed first and unpacked afterwards, for all lanes at once: in every
// type the codes of neighbouring values lie in neighbouring bytes, so four bytes of the block are
// four codes (or parts of them) of one row, whatever their width. K types get their scales the same
// way. `Isa` is described in quantized_kernel.h. Everything is always inlined (see
// HEARTH_HOST_DEVICE).

#include <cstddef>
#include <cstdint>

#include "kernels/quant/blocks.h"
#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"
#include "kernels/quant/unpack.h"

namespace hearth::kernels::simd {

using namespace hearth::quant;  // NOLINT: the block types; private to the kernels

/// For lambdas of kernels: left to itself the compiler calls some of them, once per load.
#define HEARTH_INLINE_LAMBDA __attribute__((always_inline))

inline constexpr int kChunkGroups = 16;
inline constexpr int kChunkValues = kChunkGroups * 32;

/// The integer form of a type: x = scale[h] * (q - offset) - min[h], q a byte, h the half of the
/// group of 32.
///  - halves: 2 if the halves of a group have scales of their own, else only index 0 is used;
///  - wide: q needs all 8 bits. Then q - 128 is the signed value, and kernels that multiply signed
///    bytes ask for it (kSignedWide), with offset 0.
struct Form {
  int halves;
  int offset;
  bool has_min;
  bool wide;
};
template <typename Block>
inline constexpr Form kForm{1, 0, true, false};  // Q4_1, Q5_1, Q4_K, Q5_K
template <>
inline constexpr Form kForm<BlockQ4_0>{1, 8, false, false};
template <>
inline constexpr Form kForm<BlockQ5_0>{1, 16, false, false};
template <>
inline constexpr Form kForm<BlockQ8_0>{1, 128, false, true};
template <>
inline constexpr Form kForm<BlockIQ4_NL>{1, 128, false, true};
template <>
inline constexpr Form kForm<BlockIQ4_XS>{1, 128, false, true};
template <>
inline constexpr Form kForm<BlockQ2_K>{2, 0, true, false};
template <>
inline constexpr Form kForm<BlockQ3_K>{2, 4, false, false};
template <>
inline constexpr Form kForm<BlockQ6_K>{2, 32, false, false};

/// Groups that load_codes unpacks at a time: as few as share bytes of a block.
template <typename Block>
inline constexpr int kStepGroups = 1;
template <>
inline constexpr int kStepGroups<BlockQ4_K> = 2;
template <>
inline constexpr int kStepGroups<BlockQ6_K> = 4;
template <>
inline constexpr int kStepGroups<BlockQ2_K> = 4;
template <>
inline constexpr int kStepGroups<BlockQ3_K> = 8;
template <>
inline constexpr int kStepGroups<BlockQ5_K> = 8;

/// Up to 16 groups of kLanes weight rows: 8 KiB of codes for 16 lanes.
template <typename Isa>
struct alignas(64) Panel {
  uint8_t q[kChunkValues / 4][Isa::kLanes][4];  // four consecutive values of each row
  float scale[2][kChunkGroups][Isa::kLanes];
  float min[2][kChunkGroups][Isa::kLanes];
};

/// The same block of up to 16 rows of weights, equally far apart. All rows are reached from two
/// addresses and four distances that fit the registers of a loop; the compiler would otherwise keep
/// fifteen distances in memory.
template <typename Block>
class BlockRows {
 public:
  HEARTH_HOST_DEVICE BlockRows(const uint8_t* first, size_t stride)
      : row0_(first),
        row8_(first + 8 * stride),
        by1_(stride),
        by3_(3 * stride),
        by5_(5 * stride),
        by7_(7 * stride) {
    asm("" : "+r"(row8_), "+r"(by1_), "+r"(by3_), "+r"(by5_), "+r"(by7_));
  }
  HEARTH_HOST_DEVICE const uint8_t* row(size_t i) const {
    const uint8_t* base = i < 8 ? row0_ : row8_;
    switch (i % 8) {
      case 0:
        return base;
      case 1:
        return base + by1_;
      case 2:
        return base + 2 * by1_;
      case 3:
        return base + by3_;
      case 4:
        return base + 4 * by1_;
      case 5:
        return base + by5_;
      case 6:
        return base + 2 * by3_;
      default:
        return base + by7_;
    }
  }
  HEARTH_HOST_DEVICE void next_block() {
    row0_ += sizeof(Block);
    row8_ += sizeof(Block);
  }

 private:
  const uint8_t* row0_;
  const uint8_t* row8_;
  size_t by1_;
  size_t by3_;
  size_t by5_;
  size_t by7_;
};

/// Bytes [offset, offset + 16) of a block as four vectors of words: lane i of word[j] is the j-th
/// word of row i.
template <typename Isa>
struct Words {
  typename Isa::I word[4];
};

template <typename Isa, typename Block>
HEARTH_HOST_DEVICE Words<Isa> load_words(const BlockRows<Block>& rows, size_t offset) {
  using I = typename Isa::I;
  I v[4];  // 128-bit lane L of v[i] is row 4 L + i, so that the transposed lanes are in row order
  for (int i = 0; i < 4; ++i) {
    const auto row = [&](size_t lane) HEARTH_INLINE_LAMBDA {
      return rows.row(4 * lane + static_cast<size_t>(i)) + offset;
    };
    v[i] = Isa::load_quads(row);
  }
  const I low01 = Isa::unpack_low32(v[0], v[1]);
  const I high01 = Isa::unpack_high32(v[0], v[1]);
  const I low23 = Isa::unpack_low32(v[2], v[3]);
  const I high23 = Isa::unpack_high32(v[2], v[3]);
  return {{Isa::unpack_low64(low01, low23), Isa::unpack_high64(low01, low23),
           Isa::unpack_low64(high01, high23), Isa::unpack_high64(high01, high23)}};
}

/// Bytes (v >> kShift) & mask; bits that a 16-bit shift moves in from the next byte are masked off.
template <typename Isa, int kShift>
HEARTH_HOST_DEVICE typename Isa::I field(typename Isa::I v, int mask) {
  return Isa::and_bits(Isa::template shift_right16<kShift>(v), Isa::set_bytes(mask));
}

/// A signed value of kOffset + 128 for types whose codes are wide, in the form the Isa asks for.
template <typename Isa>
HEARTH_HOST_DEVICE typename Isa::I wide_form(typename Isa::I signed_bytes) {
  if constexpr (Isa::kSignedWide) return signed_bytes;
  return Isa::xor_bits(signed_bytes, Isa::set_bytes(0x80));
}

/// IQ4 codes to their values.
template <typename Isa>
HEARTH_HOST_DEVICE typename Isa::I iq4_values(typename Isa::I codes) {
  const __m128i table =
      _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  return Isa::shuffle_bytes(wide_form<Isa>(Isa::repeat128(table)), codes);
}

template <typename Isa>
HEARTH_HOST_DEVICE void store_words(Panel<Isa>& panel, int g, int s, typename Isa::I words) {
  Isa::store_int(panel.q[8 * g + s], words);
}

// load_codes(rows, step, panel, g): kStepGroups groups of a block as bytes of Form, from group g of
// the panel on; `step` counts them within the block.

/// 32 half-bytes in 16 bytes, those of value i and i + 16 in one.
template <typename Isa, typename Decode>
HEARTH_HOST_DEVICE void store_paired_nibbles(const Words<Isa>& packed, Panel<Isa>& panel, int g,
                                             const Decode& decode) {
  for (int s = 0; s < 4; ++s) {
    store_words(panel, g, s, decode(field<Isa, 0>(packed.word[s], 15), s));
    store_words(panel, g, s + 4, decode(field<Isa, 4>(packed.word[s], 15), s + 4));
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ4_0>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  store_paired_nibbles(load_words<Isa>(rows, offsetof(BlockQ4_0, qs)), panel, g,
                       [](auto codes, int) HEARTH_INLINE_LAMBDA { return codes; });
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ4_1>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  store_paired_nibbles(load_words<Isa>(rows, offsetof(BlockQ4_1, qs)), panel, g,
                       [](auto codes, int) HEARTH_INLINE_LAMBDA { return codes; });
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockIQ4_NL>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  store_paired_nibbles(load_words<Isa>(rows, offsetof(BlockIQ4_NL, qs)), panel, g,
                       [](auto codes, int) HEARTH_INLINE_LAMBDA { return iq4_values<Isa>(codes); });
}

/// Half-bytes with 16 added where the value's bit is set in the 32-bit word of fifth bits.
template <typename Isa, typename Block>
HEARTH_HOST_DEVICE void load_five_bits(const BlockRows<Block>& rows, Panel<Isa>& panel, int g) {
  const typename Isa::I high = load_words<Isa>(rows, offsetof(Block, qh)).word[0];
  const auto decode = [&](auto codes, int s) HEARTH_INLINE_LAMBDA {
    // The byte that holds bits 4 s … 4 s + 3, copied to the four places that test them.
    const auto byte = static_cast<char>(s / 2);
    const typename Isa::I copies = Isa::shuffle_bytes(
        high, Isa::repeat128(
                  _mm_add_epi8(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12),
                               _mm_set1_epi8(byte))));
    const typename Isa::I select =
        Isa::set1(s % 2 == 0 ? 0x08040201 : static_cast<int32_t>(0x80402010U));
    return Isa::add16_where(codes, copies, select);
  };
  store_paired_nibbles(load_words<Isa>(rows, offsetof(Block, qs)), panel, g, decode);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ5_0>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  load_five_bits(rows, panel, g);
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ5_1>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  load_five_bits(rows, panel, g);
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ8_0>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  for (int s = 0; s < 8; s += 4) {
    const auto values = load_words<Isa>(rows, offsetof(BlockQ8_0, qs) + static_cast<size_t>(4 * s));
    for (int i = 0; i < 4; ++i) store_words(panel, g, s + i, wide_form<Isa>(values.word[i]));
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockIQ4_XS>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  store_paired_nibbles(
      load_words<Isa>(rows, offsetof(BlockIQ4_XS, qs) + static_cast<size_t>(16 * step)), panel, g,
      [](auto codes, int) HEARTH_INLINE_LAMBDA { return iq4_values<Isa>(codes); });
}

// The other K types have the codes of a group in 32 bytes, in order: two Words, 16 bytes each.

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ4_K>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  for (int part = 0; part < 2; ++part) {
    const auto packed =
        load_words<Isa>(rows, offsetof(BlockQ4_K, qs) + static_cast<size_t>(32 * step + 16 * part));
    for (int i = 0; i < 4; ++i) {
      const int s = part * 4 + i;
      store_words(panel, g, s, field<Isa, 0>(packed.word[i], 15));
      store_words(panel, g + 1, s, field<Isa, 4>(packed.word[i], 15));
    }
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ5_K>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  for (int part = 0; part < 2; ++part) {
    auto high = load_words<Isa>(rows, offsetof(BlockQ5_K, qh) + static_cast<size_t>(16 * part));
    for (int pair = 0; pair < 4; ++pair) {
      const auto packed = load_words<Isa>(
          rows, offsetof(BlockQ5_K, qs) + static_cast<size_t>(32 * pair + 16 * part));
      for (int i = 0; i < 4; ++i) {
        const int s = part * 4 + i;
        auto& bits = high.word[i];  // its lowest bits are the current pair's
        const auto first = Isa::and_bits(Isa::template shift_left16<4>(bits), Isa::set_bytes(16));
        const auto second = Isa::and_bits(Isa::template shift_left16<3>(bits), Isa::set_bytes(16));
        bits = Isa::template shift_right16<2>(bits);
        store_words(panel, g + 2 * pair, s, Isa::or_bits(field<Isa, 0>(packed.word[i], 15), first));
        store_words(panel, g + 2 * pair + 1, s,
                    Isa::or_bits(field<Isa, 4>(packed.word[i], 15), second));
      }
    }
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ6_K>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  const auto half = static_cast<size_t>(step);
  for (int part = 0; part < 2; ++part) {
    const auto at = static_cast<size_t>(part * 16);
    const auto low0 = load_words<Isa>(rows, offsetof(BlockQ6_K, ql) + 64 * half + at);
    const auto low1 = load_words<Isa>(rows, offsetof(BlockQ6_K, ql) + 64 * half + 32 + at);
    const auto high = load_words<Isa>(rows, offsetof(BlockQ6_K, qh) + 32 * half + at);
    for (int i = 0; i < 4; ++i) {
      const int s = part * 4 + i;
      const auto bits = high.word[i];
      const auto top = Isa::set_bytes(0x30);
      store_words(panel, g, s,
                  Isa::or_bits(field<Isa, 0>(low0.word[i], 15),
                               Isa::and_bits(Isa::template shift_left16<4>(bits), top)));
      store_words(panel, g + 1, s,
                  Isa::or_bits(field<Isa, 0>(low1.word[i], 15),
                               Isa::and_bits(Isa::template shift_left16<2>(bits), top)));
      store_words(panel, g + 2, s,
                  Isa::or_bits(field<Isa, 4>(low0.word[i], 15), Isa::and_bits(bits, top)));
      store_words(panel, g + 3, s,
                  Isa::or_bits(field<Isa, 4>(low1.word[i], 15), field<Isa, 2>(bits, 0x30)));
    }
  }
}

/// Two bits of each of four groups in 16 bytes.
template <typename Isa, typename Decode>
HEARTH_HOST_DEVICE void store_two_bits(const Words<Isa>& packed, Panel<Isa>& panel, int g, int part,
                                       const Decode& decode) {
  for (int i = 0; i < 4; ++i) {
    const int s = part * 4 + i;
    store_words(panel, g, s, decode(field<Isa, 0>(packed.word[i], 3), i));
    store_words(panel, g + 1, s, decode(field<Isa, 2>(packed.word[i], 3), i));
    store_words(panel, g + 2, s, decode(field<Isa, 4>(packed.word[i], 3), i));
    store_words(panel, g + 3, s, decode(field<Isa, 6>(packed.word[i], 3), i));
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ2_K>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  for (int part = 0; part < 2; ++part)
    store_two_bits(
        load_words<Isa>(rows, offsetof(BlockQ2_K, qs) + static_cast<size_t>(32 * step + 16 * part)),
        panel, g, part, [](auto codes, int) HEARTH_INLINE_LAMBDA { return codes; });
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ3_K>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  for (int part = 0; part < 2; ++part) {
    auto high = load_words<Isa>(rows, offsetof(BlockQ3_K, hmask) + static_cast<size_t>(16 * part));
    const auto with_third_bit = [&](auto low, int i) HEARTH_INLINE_LAMBDA {
      auto& bits = high.word[i];  // its lowest bits are the current group's
      const auto bit = Isa::and_bits(Isa::template shift_left16<2>(bits), Isa::set_bytes(4));
      bits = Isa::template shift_right16<1>(bits);
      return Isa::or_bits(low, bit);
    };
    for (int half = 0; half < 2; ++half)
      store_two_bits(load_words<Isa>(rows, offsetof(BlockQ3_K, qs) +
                                               static_cast<size_t>(32 * half + 16 * part)),
                     panel, g + 4 * half, part, with_third_bit);
  }
}

}  // namespace hearth::kernels::simd
