#pragma once
// 16-bit floats as the bits they have in model files. C++20: CUDA code includes this header.

#include <cstdint>
#include <cstring>

// Small helpers that host kernels and CUDA kernels share. On the host they are always inlined:
// translation units built for different instruction sets include them, and an out-of-line copy made
// by one of them could be linked into another.
#if defined(__CUDACC__)
#define HEARTH_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define HEARTH_HOST_DEVICE inline __attribute__((always_inline))
#endif

namespace hearth {

HEARTH_HOST_DEVICE float float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

HEARTH_HOST_DEVICE uint32_t float_to_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// Value i of an array that may begin at any address, as tensors of old model files do.
template <typename T>
HEARTH_HOST_DEVICE T value_at(const void* array, int64_t i) {
  T value;
  memcpy(&value, static_cast<const unsigned char*>(array) + i * static_cast<int64_t>(sizeof(T)),
         sizeof(value));
  return value;
}

/// IEEE 754 binary16 to f32, exact for every input; a NaN stays a NaN.
HEARTH_HOST_DEVICE float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t magnitude = half & 0x7FFFU;
  if (magnitude >= 0x7C00U) {  // infinity or NaN: the exponent becomes all ones
    return float_from_bits(sign | 0x7F800000U | ((magnitude & 0x3FFU) << 13));
  }
  // Shifted into place, the exponent is too small by 127 - 15 = 112; the product with 2^112
  // corrects it, and normalizes subnormal halves on the way.
  const float value = float_from_bits(magnitude << 13) * 0x1p112F;
  return float_from_bits(sign | float_to_bits(value));
}

/// f32 to binary16, rounded to nearest even; too large becomes infinity, a NaN stays a NaN.
HEARTH_HOST_DEVICE uint16_t f32_to_f16(float value) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // >= 65520
  if (magnitude <
      0x38800000U) {  // below 2^-14: adding 0.5 leaves multiples of 2^-24 in the mantissa
    const float shifted = float_from_bits(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (float_to_bits(shifted) - 0x3F000000U));
  }
  const uint32_t odd = (magnitude >> 13) & 1U;
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000U + 0xFFFU + odd) >> 13));
}

/// bfloat16 (the upper half of an f32) to f32.
HEARTH_HOST_DEVICE float bf16_to_f32(uint16_t value) {
  return float_from_bits(static_cast<uint32_t>(value) << 16);
}

/// f32 to bfloat16, rounded to nearest even; a NaN stays a NaN.
HEARTH_HOST_DEVICE uint16_t f32_to_bf16(float value) {
  const uint32_t bits = float_to_bits(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace hearth
