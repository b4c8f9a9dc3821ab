#pragma once
// Quantization blocks as they lie in files of early 2023 (engine/legacy): f32 scales, and before
// ggjt 2 half-bytes in another order. Tensors of those files may begin at any address, so all have
// alignment 1. C++20: CUDA code may include this header.

#include "kernels/quant/unpack.h"

namespace hearth::quant {

/// x = d * (q - 8); byte j of qs holds elements 2 j (low half-byte) and 2 j + 1.
struct BlockQ4_0F32Pairs {
  static constexpr DType kType = DType::kQ4_0F32Pairs;
  uint8_t d[4];  // f32
  uint8_t qs[16];
};

/// x = d * q + m; half-bytes as in Q4_0F32Pairs.
struct BlockQ4_1F32Pairs {
  static constexpr DType kType = DType::kQ4_1F32Pairs;
  uint8_t d[4];  // f32
  uint8_t m[4];  // f32
  uint8_t qs[16];
};

/// x = d * (q - 8); half-bytes as in Q4_0.
struct BlockQ4_0F32 {
  static constexpr DType kType = DType::kQ4_0F32;
  uint8_t d[4];  // f32
  uint8_t qs[16];
};

/// x = d * q + m; half-bytes as in Q4_1.
struct BlockQ4_1F32 {
  static constexpr DType kType = DType::kQ4_1F32;
  uint8_t d[4];  // f32
  uint8_t m[4];  // f32
  uint8_t qs[16];
};

/// x = d * q
struct BlockQ8_0F32 {
  static constexpr DType kType = DType::kQ8_0F32;
  uint8_t d[4];  // f32
  int8_t qs[32];
};

static_assert(sizeof(BlockQ4_0F32Pairs) == 20 && sizeof(BlockQ4_1F32Pairs) == 24);
static_assert(sizeof(BlockQ4_0F32) == 20 && sizeof(BlockQ4_1F32) == 24);
static_assert(sizeof(BlockQ8_0F32) == 36);

template <>
inline constexpr int kBlockSize<BlockQ4_0F32Pairs> = 32;
template <>
inline constexpr int kBlockSize<BlockQ4_1F32Pairs> = 32;
template <>
inline constexpr int kBlockSize<BlockQ4_0F32> = 32;
template <>
inline constexpr int kBlockSize<BlockQ4_1F32> = 32;
template <>
inline constexpr int kBlockSize<BlockQ8_0F32> = 32;

/// Element i of 32 whose half-bytes lie in pairs (2 j, 2 j + 1).
HEARTH_HOST_DEVICE int neighbour_nibble(const uint8_t* qs, int i) {
  return i % 2 == 0 ? qs[i / 2] & 15 : qs[i / 2] >> 4;
}

HEARTH_HOST_DEVICE float f32_at(const uint8_t* bytes) {
  float value;
  memcpy(&value, bytes, sizeof(value));
  return value;
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_0F32Pairs& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(neighbour_nibble(block.qs, i) - 8);
  set_scales(out, f32_at(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_1F32Pairs& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(neighbour_nibble(block.qs, i));
  set_scales(out, f32_at(block.d), -f32_at(block.m));
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_0F32& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(paired_nibble(block.qs, i) - 8);
  set_scales(out, f32_at(block.d), 0.0F);
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ4_1F32& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = static_cast<int8_t>(paired_nibble(block.qs, i));
  set_scales(out, f32_at(block.d), -f32_at(block.m));
}

HEARTH_HOST_DEVICE void unpack_group(const BlockQ8_0F32& block, int /*g*/, Group32& out) {
  for (int i = 0; i < 32; ++i) out.q[i] = block.qs[i];
  set_scales(out, f32_at(block.d), 0.0F);
}

}  // namespace hearth::quant
