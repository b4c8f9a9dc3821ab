#include "kernels/quant/quantize_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/quant/blocks.h"
#include "kernels/quant/half.h"

namespace hearth::quant {
namespace {

// The scale as it will be read back (rounded to f16), and its inverse for choosing the codes. A
// scale too small for f16 gives codes of zero.
struct Scale {
  F16 bits;
  float inverse;
};

Scale make_scale(float d) {
  const F16 bits = f32_to_f16(d);
  const float stored = f16_to_f32(bits);
  return {bits, stored == 0.0F ? 0.0F : 1.0F / stored};
}

int nearest_code(float value, int low, int high) {
  return static_cast<int>(
      std::clamp(std::nearbyint(value), static_cast<float>(low), static_cast<float>(high)));
}

float value_of_largest_magnitude(const float* x) {
  float best = 0.0F;
  for (int i = 0; i < 32; ++i)
    if (std::fabs(x[i]) > std::fabs(best)) best = x[i];
  return best;
}

void store_codes(const int* codes, uint8_t* qs, uint8_t* qh) {
  for (int i = 0; i < 16; ++i)
    qs[i] = static_cast<uint8_t>((codes[i] & 15) | ((codes[i + 16] & 15) << 4));
  if (qh == nullptr) return;
  std::memset(qh, 0, 4);
  for (int i = 0; i < 32; ++i)
    qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | ((codes[i] >> 4) << (i % 8)));
}

// Codes 0 … 2 * half - 1 stand for -half … half - 1: the value of largest magnitude gets -half.
F16 quantize_symmetric(const float* x, int half, int* codes) {
  const Scale scale = make_scale(value_of_largest_magnitude(x) / static_cast<float>(-half));
  for (int i = 0; i < 32; ++i)
    codes[i] = nearest_code(x[i] * scale.inverse, -half, half - 1) + half;
  return scale.bits;
}

// Codes 0 … top from the minimum up.
void quantize_with_min(const float* x, int top, int* codes, F16& d, F16& m) {
  const auto [min, max] = std::minmax_element(x, x + 32);
  m = f32_to_f16(*min);
  const float low = f16_to_f32(m);
  const Scale scale = make_scale((*max - low) / static_cast<float>(top));
  d = scale.bits;
  for (int i = 0; i < 32; ++i) codes[i] = nearest_code((x[i] - low) * scale.inverse, 0, top);
}

void quantize_block(const float* x, BlockQ8_0& block) {
  const Scale scale = make_scale(std::fabs(value_of_largest_magnitude(x)) / 127.0F);
  block.d = scale.bits;
  for (int i = 0; i < 32; ++i)
    block.qs[i] = static_cast<int8_t>(nearest_code(x[i] * scale.inverse, -127, 127));
}

void quantize_block(const float* x, BlockQ4_0& block) {
  int codes[32];
  block.d = quantize_symmetric(x, 8, codes);
  store_codes(codes, block.qs, nullptr);
}

void quantize_block(const float* x, BlockQ5_0& block) {
  int codes[32];
  block.d = quantize_symmetric(x, 16, codes);
  store_codes(codes, block.qs, block.qh);
}

void quantize_block(const float* x, BlockQ4_1& block) {
  int codes[32];
  quantize_with_min(x, 15, codes, block.d, block.m);
  store_codes(codes, block.qs, nullptr);
}

void quantize_block(const float* x, BlockQ5_1& block) {
  int codes[32];
  quantize_with_min(x, 31, codes, block.d, block.m);
  store_codes(codes, block.qs, block.qh);
}

template <typename Block>
void quantize_blocks(const float* src, void* dst, int64_t n) {
  auto* blocks = static_cast<Block*>(dst);
  for (int64_t i = 0; i < n / 32; ++i) quantize_block(src + i * 32, blocks[i]);
}

}  // namespace

bool can_quantize(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
      return true;
    default:
      return false;
  }
}

void quantize_row(DType dtype, const float* src, void* dst, int64_t n) {
  HEARTH_CHECK(n % dtype_info(dtype).block_size == 0, "a row is whole blocks");
  switch (dtype) {
    case DType::kF32:
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) static_cast<uint16_t*>(dst)[i] = f32_to_f16(src[i]);
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) static_cast<uint16_t*>(dst)[i] = f32_to_bf16(src[i]);
      return;
    case DType::kQ8_0:
      return quantize_blocks<BlockQ8_0>(src, dst, n);
    case DType::kQ4_0:
      return quantize_blocks<BlockQ4_0>(src, dst, n);
    case DType::kQ4_1:
      return quantize_blocks<BlockQ4_1>(src, dst, n);
    case DType::kQ5_0:
      return quantize_blocks<BlockQ5_0>(src, dst, n);
    case DType::kQ5_1:
      return quantize_blocks<BlockQ5_1>(src, dst, n);
    default:
      HEARTH_CHECK(false, "no quantizer for this type");
  }
}

}  // namespace hearth::quant
