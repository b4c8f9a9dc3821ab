#pragma once
// Groups of the types with code books: what the scalar definition (unpack_group) and the SIMD
// kernels share. C++20: CUDA code includes this header.

#include "kernels/quant/codebooks.h"
#include "kernels/quant/unpack.h"

namespace hearth::quant {

/// A group of IQ2 or IQ3: byte i of magnitude[v] is that of value 8 v + i, which is negative where
/// bit 8 v + i of `negative` is set.
struct SignedVectors {
  uint64_t magnitude[4];
  uint32_t negative;
};

/// A group of IQ1: byte i of biased[v] is value 8 v + i in eighths, plus 64.
struct BiasedVectors {
  uint64_t biased[4];
};

HEARTH_HOST_DEVICE uint32_t u32_at(const uint8_t* bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof(value));
  return value;
}

/// Four times seven sign bits to four bytes, the eighth bits making each byte's number of ones
/// even.
HEARTH_HOST_DEVICE uint32_t even_signs(uint32_t packed) {
  const uint32_t seven = (packed & 0x7FU) | (packed << 1 & 0x7F00U) | (packed << 2 & 0x7F0000U) |
                         (packed << 3 & 0x7F000000U);
  uint32_t parity = seven ^ seven >> 1;  // bit 0 of each byte: of ever more of its bits
  parity ^= parity >> 2;
  parity ^= parity >> 4;
  return seven | (parity & 0x01010101U) << 7;
}

// read_vectors(block, g): the values of group g.

HEARTH_HOST_DEVICE SignedVectors read_vectors(const BlockIQ2_XXS& block, int g) {
  const uint8_t* qs = block.qs + 8 * g;
  SignedVectors out;
  for (int v = 0; v < 4; ++v) out.magnitude[v] = iq2xxs_vector(qs[v]);
  out.negative = even_signs(u32_at(qs + 4));
  return out;
}

HEARTH_HOST_DEVICE SignedVectors read_vectors(const BlockIQ2_XS& block, int g) {
  SignedVectors out;
  uint32_t signs = 0;
  for (int v = 0; v < 4; ++v) {
    const uint32_t code = block.qs[4 * g + v];
    out.magnitude[v] = iq2xs_vector(code & 511);
    signs |= code >> 9 << (7 * v);
  }
  out.negative = even_signs(signs);
  return out;
}

HEARTH_HOST_DEVICE SignedVectors read_vectors(const BlockIQ2_S& block, int g) {
  const uint32_t high = block.qh[g];
  SignedVectors out;
  for (int v = 0; v < 4; ++v)
    out.magnitude[v] = iq2s_vector(block.qs[4 * g + v] | (high << (8 - 2 * v) & 0x300));
  out.negative = u32_at(block.signs + 4 * g);
  return out;
}

HEARTH_HOST_DEVICE SignedVectors read_vectors(const BlockIQ3_XXS& block, int g) {
  const uint8_t* qs = block.qs + 8 * g;
  SignedVectors out;
  for (int v = 0; v < 4; ++v)
    out.magnitude[v] =
        iq3xxs_vector(qs[2 * v]) | static_cast<uint64_t>(iq3xxs_vector(qs[2 * v + 1])) << 32;
  out.negative = even_signs(u32_at(block.signs + 4 * g));
  return out;
}

HEARTH_HOST_DEVICE SignedVectors read_vectors(const BlockIQ3_S& block, int g) {
  const uint8_t* qs = block.qs + 8 * g;
  const uint32_t high = block.qh[g];
  SignedVectors out;
  for (int v = 0; v < 4; ++v) {
    const uint32_t first = qs[2 * v] | (high << (8 - 2 * v) & 0x100);
    const uint32_t second = qs[2 * v + 1] | (high << (7 - 2 * v) & 0x100);
    out.magnitude[v] = iq3s_vector(first) | static_cast<uint64_t>(iq3s_vector(second)) << 32;
  }
  out.negative = u32_at(block.signs + 4 * g);
  return out;
}

/// A vector of IQ1 with its eighth added or taken away; no byte of the sum carries into the next.
HEARTH_HOST_DEVICE uint64_t biased_vector(uint32_t index, bool minus) {
  constexpr uint64_t kOnes = 0x0101010101010101U;
  return minus ? iq1_vector(index) - kOnes : iq1_vector(index) + kOnes;
}

HEARTH_HOST_DEVICE BiasedVectors read_vectors(const BlockIQ1_S& block, int g) {
  const uint32_t high = block.qh[g];
  BiasedVectors out;
  for (int v = 0; v < 4; ++v)
    out.biased[v] =
        biased_vector(block.qs[4 * g + v] | (high >> (3 * v) & 7) << 8, (high & 0x8000) != 0);
  return out;
}

HEARTH_HOST_DEVICE BiasedVectors read_vectors(const BlockIQ1_M& block, int g) {
  BiasedVectors out;
  for (int v = 0; v < 4; ++v) {
    const uint32_t high = block.qh[2 * g + v / 2] >> (4 * (v % 2));
    out.biased[v] = biased_vector(block.qs[4 * g + v] | (high & 7) << 8, (high & 8) != 0);
  }
  return out;
}

// base_scale(block): what the odd levels of the groups multiply. Products with them are exact.

HEARTH_HOST_DEVICE float base_scale(const BlockIQ2_XXS& block) {
  return f16_to_f32(block.d) * 0.125F;
}
HEARTH_HOST_DEVICE float base_scale(const BlockIQ2_XS& block) {
  return f16_to_f32(block.d) * 0.125F;
}
HEARTH_HOST_DEVICE float base_scale(const BlockIQ2_S& block) {
  return f16_to_f32(block.d) * 0.125F;
}
HEARTH_HOST_DEVICE float base_scale(const BlockIQ3_XXS& block) {
  return f16_to_f32(block.d) * 0.25F;
}
HEARTH_HOST_DEVICE float base_scale(const BlockIQ3_S& block) { return f16_to_f32(block.d); }
HEARTH_HOST_DEVICE float base_scale(const BlockIQ1_S& block) {
  return f16_to_f32(block.d) * 0.125F;
}

/// Word `i` of the scales of IQ1_M.
HEARTH_HOST_DEVICE uint32_t scale_word(const BlockIQ1_M& block, int i) {
  return static_cast<uint32_t>(block.scales[2 * i] | block.scales[2 * i + 1] << 8);
}
HEARTH_HOST_DEVICE float base_scale(const BlockIQ1_M& block) {
  uint32_t bits = 0;
  for (int i = 0; i < 4; ++i) bits |= scale_word(block, i) >> 12 << (4 * i);
  return f16_to_f32(static_cast<F16>(bits)) * 0.125F;
}

// level(block, g, half): the odd factor of half a group.

HEARTH_HOST_DEVICE uint32_t level(const BlockIQ2_XXS& block, int g, int /*half*/) {
  return 2U * (block.qs[8 * g + 7] >> 4U) + 1;
}
HEARTH_HOST_DEVICE uint32_t level(const BlockIQ2_XS& block, int g, int half) {
  return 2 * (block.scales[g] >> (4 * half) & 15U) + 1;
}
HEARTH_HOST_DEVICE uint32_t level(const BlockIQ2_S& block, int g, int half) {
  return 2 * (block.scales[g] >> (4 * half) & 15U) + 1;
}
HEARTH_HOST_DEVICE uint32_t level(const BlockIQ3_XXS& block, int g, int /*half*/) {
  return 2U * (block.signs[4 * g + 3] >> 4U) + 1;
}
HEARTH_HOST_DEVICE uint32_t level(const BlockIQ3_S& block, int g, int /*half*/) {
  return 2 * (block.scales[g / 2] >> (4 * (g % 2)) & 15U) + 1;
}
HEARTH_HOST_DEVICE uint32_t level(const BlockIQ1_S& block, int g, int /*half*/) {
  return 2 * (block.qh[g] >> 12U & 7U) + 1;
}
HEARTH_HOST_DEVICE uint32_t level(const BlockIQ1_M& block, int g, int half) {
  return 2 * (scale_word(block, g / 2) >> (6 * (g % 2) + 3 * half) & 7) + 1;
}

template <typename Block>
concept HasCodeBook = requires(const Block& block) {
  read_vectors(block, 0);
};

template <HasCodeBook Block>
HEARTH_HOST_DEVICE void unpack_group(const Block& block, int g, Group32& out) {
  const auto vectors = read_vectors(block, g);
  for (int i = 0; i < 32; ++i) {
    if constexpr (requires { vectors.negative; }) {
      const int magnitude = static_cast<int>(vectors.magnitude[i / 8] >> (8 * (i % 8)) & 255);
      out.q[i] = static_cast<int8_t>((vectors.negative >> i & 1) != 0 ? -magnitude : magnitude);
    } else {
      out.q[i] =
          static_cast<int8_t>(static_cast<int>(vectors.biased[i / 8] >> (8 * (i % 8)) & 255) - 64);
    }
  }
  for (int half = 0; half < 2; ++half) {
    out.scale[half] = base_scale(block) * static_cast<float>(level(block, g, half));
    out.min[half] = 0.0F;
  }
}

}  // namespace hearth::quant
