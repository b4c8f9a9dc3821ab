#include "kernels/matmul/parallel.h"
#include "kernels/quant/half.h"
#include "kernels/quant/intrinsics.h"
#include "kernels/quant/quantize_rows.h"

namespace hearth::kernels {
namespace {

constexpr float kSmallestNormal = 0x1p-126F;

void quantize_block(const float* x, int8_t* q, float& scale, int16_t* sum16) {
  const __m512 low = _mm512_loadu_ps(x);
  const __m512 high = _mm512_loadu_ps(x + 16);
  // The largest magnitude as bits, so that a NaN is the largest of all.
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512i largest = _mm512_max_epi32(_mm512_and_epi32(_mm512_castps_si512(low), magnitude),
                                           _mm512_and_epi32(_mm512_castps_si512(high), magnitude));
  scale = float_from_bits(static_cast<uint32_t>(_mm512_reduce_max_epi32(largest))) / 127.0F;
  const bool finite = (float_to_bits(scale) & 0x7F800000U) != 0x7F800000U;
  if (!finite || scale < kSmallestNormal) {
    if (finite) scale = 0.0F;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
    sum16[0] = sum16[1] = 0;
    return;
  }
  const __m512 divisor = _mm512_set1_ps(scale);
  const __m512i rounded0 = _mm512_cvtps_epi32(_mm512_div_ps(low, divisor));
  const __m512i rounded1 = _mm512_cvtps_epi32(_mm512_div_ps(high, divisor));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(rounded0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q + 16), _mm512_cvtepi32_epi8(rounded1));
  sum16[0] = static_cast<int16_t>(_mm512_reduce_add_epi32(rounded0));
  sum16[1] = static_cast<int16_t>(_mm512_reduce_add_epi32(rounded1));
}

}  // namespace

void quantize_avx512(const ExecContext& context, const QuantizeArgs& args) {
  check_quantize(args);
  run_on_pool(context, [&](int index, int threads) {
    const Slice slice = thread_slice(args.rows * (args.cols / 32), 16, index, threads);
    for (int64_t b = slice.begin; b < slice.end; ++b)
      quantize_block(args.x + b * 32, args.out.q + b * 32, args.out.scale[b],
                     args.out.sum16 + b * 2);
  });
}

}  // namespace hearth::kernels
