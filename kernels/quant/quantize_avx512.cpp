#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"
#include "kernels/quant/quantize_blocks.h"

namespace hearth::kernels {
namespace {

constexpr float kSmallestNormal = 0x1p-126F;

/// Lanes folded in halves, as the reference does.
HEARTH_HOST_DEVICE float sum_in_halves(__m512 v) {
  const __m256 high = _mm512_extractf32x8_ps(v, 1);
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// The best codes of y (low and high 16 values) as int32; gives the slope y.q / q.q.
HEARTH_HOST_DEVICE float choose_codes(__m512 y_low, __m512 y_high, __m512i& q_low,
                                      __m512i& q_high) {
  float best_score = -1.0F;
  float slope = 0.0F;
  for (const float steps : kCodeSteps) {
    const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(y_low, _mm512_set1_ps(steps)));
    const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(y_high, _mm512_set1_ps(steps)));
    const int squares = _mm512_reduce_add_epi32(
        _mm512_add_epi32(_mm512_mullo_epi32(low, low), _mm512_mullo_epi32(high, high)));
    const float dot = sum_in_halves(_mm512_add_ps(_mm512_mul_ps(y_low, _mm512_cvtepi32_ps(low)),
                                                  _mm512_mul_ps(y_high, _mm512_cvtepi32_ps(high))));
    const float candidate = dot / static_cast<float>(squares);
    const float score = dot * candidate;
    if (score > best_score) {
      best_score = score;
      slope = candidate;
      q_low = low;
      q_high = high;
    }
  }
  return slope;
}

void quantize_block(const float* x, int8_t* q, float& scale, int16_t* sum16) {
  const __m512 low = _mm512_loadu_ps(x);
  const __m512 high = _mm512_loadu_ps(x + 16);
  // The largest magnitude as bits, so that a NaN is the largest of all.
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512i bits = _mm512_max_epi32(_mm512_and_epi32(_mm512_castps_si512(low), magnitude),
                                        _mm512_and_epi32(_mm512_castps_si512(high), magnitude));
  const float largest = float_from_bits(static_cast<uint32_t>(_mm512_reduce_max_epi32(bits)));
  scale = largest / 127.0F;
  const bool finite = (float_to_bits(scale) & 0x7F800000U) != 0x7F800000U;
  if (!finite || scale < kSmallestNormal) {
    if (finite) scale = 0.0F;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
    sum16[0] = sum16[1] = 0;
    return;
  }
  const __m512 divisor = _mm512_set1_ps(largest);
  __m512i q_low = _mm512_setzero_si512();
  __m512i q_high = _mm512_setzero_si512();
  scale = largest *
          choose_codes(_mm512_div_ps(low, divisor), _mm512_div_ps(high, divisor), q_low, q_high);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(q_low));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q + 16), _mm512_cvtepi32_epi8(q_high));
  sum16[0] = static_cast<int16_t>(_mm512_reduce_add_epi32(q_low));
  sum16[1] = static_cast<int16_t>(_mm512_reduce_add_epi32(q_high));
}

}  // namespace

void quantize_avx512(const ExecContext& context, const QuantizeArgs& args) {
  quantize_blocks(context, args, [](const float* x, int8_t* q, float& scale, int16_t* sum16) {
    quantize_block(x, q, scale, sum16);
  });
}

}  // namespace hearth::kernels
