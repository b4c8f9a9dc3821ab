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

#include "kernels/matmul/bytes.h"
#include "kernels/quant/blocks.h"
#include "kernels/quant/half.h"
#include "kernels/quant/unpack.h"

namespace hearth::kernels::simd {

using namespace hearth::quant;  // NOLINT: the block types; private to the kernels

/// For lambdas of kernels: left to itself the compiler calls some of them, once per load.
#define HEARTH_INLINE_LAMBDA __attribute__((always_inline))

/// For short loops over registers, which must not end in memory.
#define HEARTH_UNROLL _Pragma("GCC unroll 16")

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

/// Groups of a block of 256 that load_codes unpacks at a time.
template <typename Block>
inline constexpr int kStepGroups = 8;
template <>
inline constexpr int kStepGroups<BlockQ4_K> = 4;
template <>
inline constexpr int kStepGroups<BlockIQ4_XS> = 4;
template <>
inline constexpr int kStepGroups<BlockQ6_K> = 4;

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
  HEARTH_HOST_DEVICE void skip_blocks(size_t count) {
    row0_ += count * sizeof(Block);
    row8_ += count * sizeof(Block);
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

/// 128-bit lane L of v[i] is row 4 L + i, so that the transposed lanes are in row order.
template <typename Isa>
HEARTH_HOST_DEVICE Words<Isa> transpose_words(const typename Isa::I (&v)[4]) {
  const auto low01 = Isa::unpack_low32(v[0], v[1]);
  const auto high01 = Isa::unpack_high32(v[0], v[1]);
  const auto low23 = Isa::unpack_low32(v[2], v[3]);
  const auto high23 = Isa::unpack_high32(v[2], v[3]);
  return {{Isa::unpack_low64(low01, low23), Isa::unpack_high64(low01, low23),
           Isa::unpack_low64(high01, high23), Isa::unpack_high64(high01, high23)}};
}

template <typename Isa, typename Block>
HEARTH_HOST_DEVICE Words<Isa> load_words(const BlockRows<Block>& rows, size_t offset) {
  typename Isa::I v[4];
  HEARTH_UNROLL
  for (size_t i = 0; i < 4; ++i)
    v[i] = Isa::load_quads([&](size_t lane)
                               HEARTH_INLINE_LAMBDA { return rows.row(4 * lane + i) + offset; });
  return transpose_words<Isa>(v);
}

/// load(row) gives 64 bytes of each row; pieces[k] are the k-th 16 of them.
template <typename Isa, typename Block, typename Load>
HEARTH_HOST_DEVICE void load_wide(const BlockRows<Block>& rows, Words<Isa> (&pieces)[4],
                                  const Load& load) {
  typename Isa::I quads[4][4];
  HEARTH_UNROLL
  for (size_t i = 0; i < 4; ++i) {
    const typename Isa::I v[4] = {load(rows.row(i)), load(rows.row(i + 4)), load(rows.row(i + 8)),
                                  load(rows.row(i + 12))};
    typename Isa::I lanes[4];
    Isa::transpose_lanes(v, lanes);
    HEARTH_UNROLL
    for (int k = 0; k < 4; ++k) quads[k][i] = lanes[k];
  }
  HEARTH_UNROLL
  for (int k = 0; k < 4; ++k) pieces[k] = transpose_words<Isa>(quads[k]);
}

/// Bytes [offset, offset + 64) of a block as 16-byte pieces. Loads are what a panel costs most, and
/// one of 64 bytes is hardly dearer than one of 16.
template <typename Isa, typename Block>
HEARTH_HOST_DEVICE void load_pieces(const BlockRows<Block>& rows, size_t offset,
                                    Words<Isa> (&pieces)[4]) {
  if constexpr (Isa::kWideLoads) {
    load_wide<Isa>(rows, pieces, [&](const uint8_t* row) HEARTH_INLINE_LAMBDA {
      return Isa::load_int(row + offset);
    });
  } else {
    HEARTH_UNROLL
    for (size_t k = 0; k < 4; ++k) pieces[k] = load_words<Isa>(rows, offset + 16 * k);
  }
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
  const Bytes16 table =
      bytes16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
  return Isa::shuffle_bytes(wide_form<Isa>(Isa::repeat128(table)), codes);
}

template <typename Isa>
HEARTH_HOST_DEVICE void store_words(Panel<Isa>& panel, int g, int s, typename Isa::I words) {
  Isa::store_int(panel.q[8 * g + s], words);
}

/// 32 half-bytes in 16 bytes, those of value i and i + 16 in one.
template <typename Isa, typename Decode>
HEARTH_HOST_DEVICE void store_paired_nibbles(const Words<Isa>& packed, Panel<Isa>& panel, int g,
                                             const Decode& decode) {
  HEARTH_UNROLL
  for (int s = 0; s < 4; ++s) {
    store_words(panel, g, s, decode(field<Isa, 0>(packed.word[s], 15), s));
    store_words(panel, g, s + 4, decode(field<Isa, 4>(packed.word[s], 15), s + 4));
  }
}

/// A byte of fifth bits to the bytes they belong to: for the codes of word s of a group, whose bits
/// begin at bit 4 s of `bits`, 16 is added where the bit is set.
template <typename Isa>
HEARTH_HOST_DEVICE typename Isa::I with_fifth_bits(typename Isa::I codes, typename Isa::I bits,
                                                   int s) {
  const Bytes16 first = bytes16(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
  const Bytes16 index = add_bytes(first, repeat16(s / 2));
  const auto copies = Isa::shuffle_bytes(bits, Isa::repeat128(index));
  return Isa::add16_where(codes, copies,
                          Isa::set1(static_cast<int32_t>(s % 2 == 0 ? 0x08040201U : 0x80402010U)));
}

/// One block of 32 values: its packed codes (Q8_0's take two Words) and fifth bits.
template <typename Block, typename Isa>
HEARTH_HOST_DEVICE void store_block(const Words<Isa>* q, typename Isa::I fifth_bits,
                                    Panel<Isa>& panel, int g) {
  if constexpr (Block::kType == DType::kQ8_0) {
    HEARTH_UNROLL
    for (int s = 0; s < 8; ++s) store_words(panel, g, s, wide_form<Isa>(q[s / 4].word[s % 4]));
  } else {
    store_paired_nibbles(q[0], panel, g, [&](auto codes, int s) HEARTH_INLINE_LAMBDA {
      if constexpr (Block::kType == DType::kIQ4_NL) return iq4_values<Isa>(codes);
      if constexpr (requires(Block block) { block.qh; })
        return with_fifth_bits<Isa>(codes, fifth_bits, s);
      return codes;
    });
  }
}

/// x = d * q, or d * q + m.
template <typename Block, typename Isa>
HEARTH_HOST_DEVICE void store_block_scales(typename Isa::F d, typename Isa::F m, Panel<Isa>& panel,
                                           int g) {
  Isa::store(panel.scale[0][g], d);
  if constexpr (requires(Block block) { block.m; }) Isa::store(panel.min[0][g], Isa::negate(m));
}

template <typename Block, typename Isa>
HEARTH_HOST_DEVICE void load_block32(const BlockRows<Block>& rows, Panel<Isa>& panel, int g) {
  Words<Isa> q[2] = {load_words<Isa>(rows, offsetof(Block, qs)), {}};
  if constexpr (sizeof(Block::qs) == 32) q[1] = load_words<Isa>(rows, offsetof(Block, qs) + 16);
  typename Isa::I fifth_bits = Isa::zero_int();
  if constexpr (requires(Block block) { block.qh; })
    fifth_bits = load_words<Isa>(rows, offsetof(Block, qh)).word[0];
  store_block<Block>(q, fifth_bits, panel, g);
  const auto head = load_words<Isa>(rows, 0).word[0];
  store_block_scales<Block>(Isa::f16_low(head), Isa::f16_high(head), panel, g);
}

/// How many blocks of 32 values lie in 64 bytes.
template <typename Block>
inline constexpr int kWideBlocks = 64 / static_cast<int>(sizeof(Block));

/// The 16-bit words of kWideBlocks blocks in the order in which load_blocks takes them: the codes
/// of all blocks, 16 (Q8_0: 32) bytes each, then d or d and m of all, then the fifth bits of all.
template <typename Block>
struct WideOrder {
  static constexpr int kCodeWords = sizeof(Block::qs) / 2;
  static constexpr int kHeadWords = offsetof(Block, qs) / 2;
  static constexpr int kScaleWords = requires(Block block) { block.m; }
  ? 2 : 1;
  static constexpr int kScalesAt = kWideBlocks<Block> * kCodeWords;
  static constexpr int kBitsAt = kScalesAt + (kWideBlocks<Block> * kScaleWords + 1) / 2 * 2;
  static_assert(kScalesAt % 8 == 0 && kScalesAt + 8 <= 32);

  alignas(64) uint16_t at[32] = {};

  constexpr WideOrder() {
    constexpr int kWords = sizeof(Block) / 2;
    for (int b = 0; b < kWideBlocks<Block>; ++b) {
      const auto put = [&](int to, int from) { at[to] = static_cast<uint16_t>(b * kWords + from); };
      for (int i = 0; i < kCodeWords; ++i) put(b * kCodeWords + i, kHeadWords + i);
      for (int i = 0; i < kScaleWords; ++i) put(kScalesAt + b * kScaleWords + i, i);
      for (int i = kScaleWords; i < kHeadWords; ++i) put(kBitsAt + b * 2 + i - kScaleWords, i);
    }
  }
};

/// kWideBlocks blocks of 32 values: one load for each row.
template <typename Block, typename Isa>
HEARTH_HOST_DEVICE void load_blocks32(const BlockRows<Block>& rows, Panel<Isa>& panel, int g) {
  using Order = WideOrder<Block>;
  static constexpr Order kOrder;
  constexpr int kHead = Order::kScalesAt / 8;
  const auto order = Isa::load_int(kOrder.at);
  Words<Isa> pieces[4];
  load_wide<Isa>(rows, pieces, [&](const uint8_t* row) HEARTH_INLINE_LAMBDA {
    return Isa::permute_words(order,
                              Isa::template load_bytes<kWideBlocks<Block> * sizeof(Block)>(row));
  });
  HEARTH_UNROLL
  for (int b = 0; b < kWideBlocks<Block>; ++b) {
    const typename Isa::I fifth_bits =
        pieces[kHead].word[((Order::kBitsAt - Order::kScalesAt) / 2 + b) % 4];
    store_block<Block>(pieces + b * Order::kCodeWords / 8, fifth_bits, panel, g + b);
    if constexpr (Order::kScaleWords == 2) {
      const auto word = pieces[kHead].word[b];
      store_block_scales<Block>(Isa::f16_low(word), Isa::f16_high(word), panel, g + b);
    } else {
      const auto word = pieces[kHead].word[b / 2];
      const auto d = b % 2 == 0 ? Isa::f16_low(word) : Isa::f16_high(word);
      store_block_scales<Block>(d, d, panel, g + b);
    }
  }
}

// load_codes(rows, step, panel, g): kStepGroups groups of a block of 256 as bytes of Form, from
// group g of the panel on; `step` counts them within the block.

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockIQ4_XS>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  Words<Isa> packed[4];
  load_pieces(rows, offsetof(BlockIQ4_XS, qs) + static_cast<size_t>(64 * step), packed);
  HEARTH_UNROLL
  for (int i = 0; i < 4; ++i)
    store_paired_nibbles(packed[i], panel, g + i, [](auto codes, int) HEARTH_INLINE_LAMBDA {
      return iq4_values<Isa>(codes);
    });
}

// The other K types have the codes of a group in 32 bytes, in order: two Words, 16 bytes each.

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ4_K>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  Words<Isa> packed[4];
  load_pieces(rows, offsetof(BlockQ4_K, qs) + static_cast<size_t>(64 * step), packed);
  HEARTH_UNROLL
  for (int k = 0; k < 4; ++k) {
    HEARTH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int s = k % 2 * 4 + i;
      store_words(panel, g + k / 2 * 2, s, field<Isa, 0>(packed[k].word[i], 15));
      store_words(panel, g + k / 2 * 2 + 1, s, field<Isa, 4>(packed[k].word[i], 15));
    }
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ5_K>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  Words<Isa> high[2] = {load_words<Isa>(rows, offsetof(BlockQ5_K, qh)),
                        load_words<Isa>(rows, offsetof(BlockQ5_K, qh) + 16)};
  HEARTH_UNROLL
  for (int half = 0; half < 2; ++half) {
    Words<Isa> packed[4];
    load_pieces(rows, offsetof(BlockQ5_K, qs) + static_cast<size_t>(64 * half), packed);
    HEARTH_UNROLL
    for (int k = 0; k < 4; ++k) {
      const int first = g + 4 * half + k / 2 * 2;
      HEARTH_UNROLL
      for (int i = 0; i < 4; ++i) {
        auto& bits = high[k % 2].word[i];  // its lowest bits are the current pair's
        const auto low = Isa::and_bits(Isa::template shift_left16<4>(bits), Isa::set_bytes(16));
        const auto top = Isa::and_bits(Isa::template shift_left16<3>(bits), Isa::set_bytes(16));
        bits = Isa::template shift_right16<2>(bits);
        const int s = k % 2 * 4 + i;
        const auto codes = packed[k].word[i];
        store_words(panel, first, s, Isa::or_bits(field<Isa, 0>(codes, 15), low));
        store_words(panel, first + 1, s, Isa::or_bits(field<Isa, 4>(codes, 15), top));
      }
    }
  }
}

template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ6_K>& rows, int step, Panel<Isa>& panel,
                                   int g) {
  Words<Isa> low[4];  // two of the first 32 values of each pair of groups, two of the second
  load_pieces(rows, offsetof(BlockQ6_K, ql) + static_cast<size_t>(64 * step), low);
  HEARTH_UNROLL
  for (int part = 0; part < 2; ++part) {
    const auto high =
        load_words<Isa>(rows, offsetof(BlockQ6_K, qh) + static_cast<size_t>(32 * step + 16 * part));
    HEARTH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int s = part * 4 + i;
      const auto low0 = low[part].word[i];
      const auto low1 = low[part + 2].word[i];
      const auto bits = high.word[i];
      const auto top = Isa::set_bytes(0x30);
      store_words(panel, g, s,
                  Isa::or_bits(field<Isa, 0>(low0, 15),
                               Isa::and_bits(Isa::template shift_left16<4>(bits), top)));
      store_words(panel, g + 1, s,
                  Isa::or_bits(field<Isa, 0>(low1, 15),
                               Isa::and_bits(Isa::template shift_left16<2>(bits), top)));
      store_words(panel, g + 2, s, Isa::or_bits(field<Isa, 4>(low0, 15), Isa::and_bits(bits, top)));
      store_words(panel, g + 3, s,
                  Isa::or_bits(field<Isa, 4>(low1, 15), field<Isa, 2>(bits, 0x30)));
    }
  }
}

/// Two bits of each of four groups in 16 bytes; decode(bits, i, shift).
template <typename Isa, typename Decode>
HEARTH_HOST_DEVICE void store_two_bits(const Words<Isa>& packed, Panel<Isa>& panel, int g, int part,
                                       const Decode& decode) {
  HEARTH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int s = part * 4 + i;
    store_words(panel, g, s, decode(field<Isa, 0>(packed.word[i], 3), i));
    store_words(panel, g + 1, s, decode(field<Isa, 2>(packed.word[i], 3), i));
    store_words(panel, g + 2, s, decode(field<Isa, 4>(packed.word[i], 3), i));
    store_words(panel, g + 3, s, decode(field<Isa, 6>(packed.word[i], 3), i));
  }
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ2_K>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  Words<Isa> packed[4];
  load_pieces(rows, offsetof(BlockQ2_K, qs), packed);
  HEARTH_UNROLL
  for (int k = 0; k < 4; ++k)
    store_two_bits(packed[k], panel, g + k / 2 * 4, k % 2,
                   [](auto codes, int) HEARTH_INLINE_LAMBDA { return codes; });
}
template <typename Isa>
HEARTH_HOST_DEVICE void load_codes(const BlockRows<BlockQ3_K>& rows, int /*step*/,
                                   Panel<Isa>& panel, int g) {
  Words<Isa> packed[4];
  load_pieces(rows, offsetof(BlockQ3_K, qs), packed);
  Words<Isa> high[2] = {load_words<Isa>(rows, offsetof(BlockQ3_K, hmask)),
                        load_words<Isa>(rows, offsetof(BlockQ3_K, hmask) + 16)};
  HEARTH_UNROLL
  for (int k = 0; k < 4; ++k) {
    const auto with_third_bit = [&](auto low, int i) HEARTH_INLINE_LAMBDA {
      auto& bits = high[k % 2].word[i];  // its lowest bits are the current group's
      const auto bit = Isa::and_bits(Isa::template shift_left16<2>(bits), Isa::set_bytes(4));
      bits = Isa::template shift_right16<1>(bits);
      return Isa::or_bits(low, bit);
    };
    store_two_bits(packed[k], panel, g + k / 2 * 4, k % 2, with_third_bit);
  }
}

}  // namespace hearth::kernels::simd
