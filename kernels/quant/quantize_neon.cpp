#include <arm_neon.h>

#include "kernels/quant/half.h"
#include "kernels/quant/quantize_blocks.h"

namespace hearth::kernels {
namespace {

constexpr float kSmallestNormal = 0x1p-126F;
constexpr int kVectors = 8;  // of a block of 32

/// y.q of 32 values, in the order that all variants keep.
HEARTH_HOST_DEVICE float dot_in_halves(const float32x4_t* y, const int32x4_t* q) {
  // Vectors i and i + 4 are 16 values apart; then 8, 4, 2 and 1.
  const auto pair = [&](int i) {
    return vaddq_f32(vmulq_f32(y[i], vcvtq_f32_s32(q[i])),
                     vmulq_f32(y[i + 4], vcvtq_f32_s32(q[i + 4])));
  };
  const float32x4_t four = vaddq_f32(vaddq_f32(pair(0), pair(2)), vaddq_f32(pair(1), pair(3)));
  return vaddv_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}

HEARTH_HOST_DEVICE int sum_of_squares(const int32x4_t* q) {
  int32x4_t sums = vmulq_s32(q[0], q[0]);
  for (int i = 1; i < kVectors; ++i) sums = vmlaq_s32(sums, q[i], q[i]);
  return vaddvq_s32(sums);
}

/// The best codes of y as int32; gives the slope y.q / q.q.
HEARTH_HOST_DEVICE float choose_codes(const float32x4_t* y, int32x4_t* q) {
  float best_score = -1.0F;
  float slope = 0.0F;
  for (const float steps : kCodeSteps) {
    int32x4_t codes[kVectors];
    for (int i = 0; i < kVectors; ++i)
      codes[i] = vcvtnq_s32_f32(vmulq_f32(y[i], vdupq_n_f32(steps)));
    const float dot = dot_in_halves(y, codes);
    const float candidate = dot / static_cast<float>(sum_of_squares(codes));
    const float score = dot * candidate;
    if (score > best_score) {
      best_score = score;
      slope = candidate;
      for (int i = 0; i < kVectors; ++i) q[i] = codes[i];
    }
  }
  return slope;
}

/// 16 codes to bytes in order, and their sum.
void store_half(const int32x4_t* codes, int8_t* q, int16_t& sum16) {
  const auto words = [&](int i) {
    return vcombine_s16(vmovn_s32(codes[i]), vmovn_s32(codes[i + 1]));
  };
  vst1q_s8(q, vcombine_s8(vmovn_s16(words(0)), vmovn_s16(words(2))));
  sum16 = vaddvq_s16(vaddq_s16(words(0), words(2)));
}

void quantize_block(const float* x, int8_t* q, float& scale, int16_t* sum16) {
  // The largest magnitude as bits, so that a NaN is the largest of all.
  uint32x4_t bits = vdupq_n_u32(0);
  for (int i = 0; i < kVectors; ++i)
    bits = vmaxq_u32(bits, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + 4 * i))));
  const float largest = float_from_bits(vmaxvq_u32(bits));
  scale = largest / 127.0F;
  const bool finite = (float_to_bits(scale) & 0x7F800000U) != 0x7F800000U;
  if (!finite || scale < kSmallestNormal) {
    if (finite) scale = 0.0F;
    memset(q, 0, 32);
    sum16[0] = sum16[1] = 0;
    return;
  }
  float32x4_t y[kVectors];
  for (int i = 0; i < kVectors; ++i) y[i] = vdivq_f32(vld1q_f32(x + 4 * i), vdupq_n_f32(largest));
  int32x4_t codes[kVectors] = {};
  scale = largest * choose_codes(y, codes);
  store_half(codes, q, sum16[0]);
  store_half(codes + 4, q + 16, sum16[1]);
}

}  // namespace

void quantize_neon(const ExecContext& context, const QuantizeArgs& args) {
  quantize_blocks(context, args, [](const float* x, int8_t* q, float& scale, int16_t* sum16) {
    quantize_block(x, q, scale, sum16);
  });
}

}  // namespace hearth::kernels
