#include "kernels/cpu/arithmetic_peak.h"
#include "kernels/cpu/vec_avx2.h"

namespace hearth::kernels {
namespace avx2 {
namespace {

// Sums that do not wait for each other: two units of four cycles, and some to spare.
constexpr int kSums = 12;

// Where results go, so that they are computed.
volatile int32_t sink;

int64_t f32_loop(int64_t rounds) {
  Vec sums[kSums];
#pragma GCC unroll 16
  for (Vec& sum : sums) sum = set1(1.0F);
  const Vec factor = set1(0.5F);
  const Vec summand = set1(0.25F);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sums[i] = fma(sums[i], factor, summand);
      asm volatile("" : "+x"(sums[i].v));  // each round is computed
    }
  }
#pragma GCC unroll 16
  for (const Vec& sum : sums) sink = static_cast<int32_t>(max_lane(sum));
  return rounds * kSums * kLanes * 2;
}

template <typename Multiply>
int64_t integer_loop(int64_t rounds, int products, const Multiply& multiply) {
  __m256i sums[kSums];
#pragma GCC unroll 16
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  __m256i x = _mm256_set1_epi32(0x01010101);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      asm volatile("" : "+x"(x));  // the product is not known from the round before
      sums[i] = _mm256_add_epi32(sums[i], multiply(x));
      asm volatile("" : "+x"(sums[i]));
    }
  }
#pragma GCC unroll 16
  for (const __m256i& sum : sums) sink = _mm256_extract_epi32(sum, 0);
  return rounds * kSums * products * 2;
}

int64_t int16_loop(int64_t rounds) {
  return integer_loop(
      rounds, 16, [](__m256i x) __attribute__((always_inline)) { return _mm256_madd_epi16(x, x); });
}
int64_t int8_loop(int64_t rounds) {
  return integer_loop(
      rounds, 32, [](__m256i x) __attribute__((always_inline)) {
        return _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), _mm256_set1_epi16(1));
      });
}

}  // namespace
}  // namespace avx2

PeakLoop peak_loop_avx2(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kNone:
      return nullptr;
    case Arithmetic::kF32:
      return avx2::f32_loop;
    case Arithmetic::kInt16:
      return avx2::int16_loop;
    case Arithmetic::kInt8:
      return avx2::int8_loop;
  }
  return nullptr;
}

}  // namespace hearth::kernels
