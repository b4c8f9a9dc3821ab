#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"
#include "kernels/quant/quantize_blocks.h"

namespace hearth::kernels {
namespace {

constexpr float kSmallestNormal = 0x1p-126F;

// The largest magnitude as bits, so that a NaN is the largest of all.
HEARTH_HOST_DEVICE uint32_t largest_bits(const __m256i* values) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i largest = _mm256_and_si256(values[0], magnitude);
  for (int i = 1; i < 4; ++i)
    largest = _mm256_max_epi32(largest, _mm256_and_si256(values[i], magnitude));
  __m128i four =
      _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xB1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(four));
}

/// y.q of 32 values, in the order that all variants keep.
HEARTH_HOST_DEVICE float dot_in_halves(const __m256* y, const __m256i* q) {
  const auto product = [&](int i) { return _mm256_mul_ps(y[i], _mm256_cvtepi32_ps(q[i])); };
  const __m256 low = _mm256_add_ps(product(0), product(2));   // lanes 0 to 7 of 16
  const __m256 high = _mm256_add_ps(product(1), product(3));  // lanes 8 to 15
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

HEARTH_HOST_DEVICE int sum_of_squares(const __m256i* q) {
  __m256i sums = _mm256_mullo_epi32(q[0], q[0]);
  for (int i = 1; i < 4; ++i) sums = _mm256_add_epi32(sums, _mm256_mullo_epi32(q[i], q[i]));
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1)));
}

/// The best codes of y as int32; gives the slope y.q / q.q.
HEARTH_HOST_DEVICE float choose_codes(const __m256* y, __m256i* q) {
  float best_score = -1.0F;
  float slope = 0.0F;
  for (const float steps : kCodeSteps) {
    __m256i codes[4];
    for (int i = 0; i < 4; ++i)
      codes[i] = _mm256_cvtps_epi32(_mm256_mul_ps(y[i], _mm256_set1_ps(steps)));
    const float dot = dot_in_halves(y, codes);
    const float candidate = dot / static_cast<float>(sum_of_squares(codes));
    const float score = dot * candidate;
    if (score > best_score) {
      best_score = score;
      slope = candidate;
      for (int i = 0; i < 4; ++i) q[i] = codes[i];
    }
  }
  return slope;
}

/// Codes to bytes in order, and the sums of their halves.
void store_codes(const __m256i* codes, int8_t* q, int16_t* sum16) {
  // The packs interleave 128-bit lanes; the permutation puts words back in order.
  const __m256i words0 = _mm256_packs_epi32(codes[0], codes[1]);
  const __m256i words1 = _mm256_packs_epi32(codes[2], codes[3]);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words0, words1),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), bytes);
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i sums =
      _mm256_hadd_epi32(_mm256_madd_epi16(words0, ones), _mm256_madd_epi16(words1, ones));
  const __m128i both =
      _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  sum16[0] = static_cast<int16_t>(_mm_extract_epi32(both, 0) + _mm_extract_epi32(both, 1));
  sum16[1] = static_cast<int16_t>(_mm_extract_epi32(both, 2) + _mm_extract_epi32(both, 3));
}

void quantize_block(const float* x, int8_t* q, float& scale, int16_t* sum16) {
  __m256i values[4];
  for (int i = 0; i < 4; ++i)
    values[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 8 * i));
  const float largest = float_from_bits(largest_bits(values));
  scale = largest / 127.0F;
  const bool finite = (float_to_bits(scale) & 0x7F800000U) != 0x7F800000U;
  if (!finite || scale < kSmallestNormal) {
    if (finite) scale = 0.0F;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
    sum16[0] = sum16[1] = 0;
    return;
  }
  __m256 y[4];
  for (int i = 0; i < 4; ++i)
    y[i] = _mm256_div_ps(_mm256_castsi256_ps(values[i]), _mm256_set1_ps(largest));
  __m256i codes[4] = {};
  scale = largest * choose_codes(y, codes);
  store_codes(codes, q, sum16);
}

}  // namespace

void quantize_avx2(const ExecContext& context, const QuantizeArgs& args) {
  quantize_blocks(context, args, [](const float* x, int8_t* q, float& scale, int16_t* sum16) {
    quantize_block(x, q, scale, sum16);
  });
}

}  // namespace hearth::kernels
