#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"
#include "kernels/quant/quantize_blocks.h"

namespace hearth::kernels {
namespace {

constexpr float kSmallestNormal = 0x1p-126F;

/// The lanes of each vector folded in halves, as the reference does: four sums side by side.
HEARTH_HOST_DEVICE __m128 sums_in_halves(const __m512 (&v)[4]) {
  const auto halves = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  };
  const __m512 first = halves(v[0], v[1]);
  const __m512 second = halves(v[2], v[3]);
  // A 128-bit lane for each vector from here on.
  const __m512 four = _mm512_add_ps(_mm512_shuffle_f32x4(first, second, 0x88),
                                    _mm512_shuffle_f32x4(first, second, 0xDD));
  const __m512 two = _mm512_add_ps(four, _mm512_permute_ps(four, 0x4E));
  const __m512 one = _mm512_add_ps(two, _mm512_movehdup_ps(two));
  const __m512i lanes = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castps512_ps128(_mm512_permutexvar_ps(lanes, one));
}

/// The best grid of y (low and high 16 values); `slope` is y.q / q.q for its codes. All grids at
/// once; squares of codes add up to less than 2^24, so floats hold them exactly in any order.
HEARTH_HOST_DEVICE int choose_grid(__m512 y_low, __m512 y_high, float& slope) {
  __m512 dots[4];
  __m512 squares[4];
  for (int i = 0; i < 4; ++i) {
    constexpr int kNearestEven = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    const __m512 steps = _mm512_set1_ps(kCodeSteps[i]);
    const __m512 low = _mm512_roundscale_ps(_mm512_mul_ps(y_low, steps), kNearestEven);
    const __m512 high = _mm512_roundscale_ps(_mm512_mul_ps(y_high, steps), kNearestEven);
    squares[i] = _mm512_fmadd_ps(low, low, _mm512_mul_ps(high, high));
    dots[i] = _mm512_add_ps(_mm512_mul_ps(y_low, low), _mm512_mul_ps(y_high, high));
  }
  const __m128 dot = sums_in_halves(dots);
  const __m128 slopes = _mm_div_ps(dot, sums_in_halves(squares));
  const __m128 score = _mm_mul_ps(dot, slopes);
  const __m128 pairs = _mm_max_ps(score, _mm_permute_ps(score, 0x4E));
  const __m128 best = _mm_max_ps(pairs, _mm_permute_ps(pairs, 0xB1));
  const int first =
      __builtin_ctz(static_cast<unsigned>(_mm_movemask_ps(_mm_cmpeq_ps(score, best))));
  slope = _mm_cvtss_f32(_mm_permutevar_ps(slopes, _mm_set1_epi32(first)));
  return first;
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
  const __m512 y_low = _mm512_div_ps(low, divisor);
  const __m512 y_high = _mm512_div_ps(high, divisor);
  float slope;
  const __m512 steps = _mm512_set1_ps(kCodeSteps[choose_grid(y_low, y_high, slope)]);
  scale = largest * slope;
  const __m512i q_low = _mm512_cvtps_epi32(_mm512_mul_ps(y_low, steps));
  const __m512i q_high = _mm512_cvtps_epi32(_mm512_mul_ps(y_high, steps));
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
