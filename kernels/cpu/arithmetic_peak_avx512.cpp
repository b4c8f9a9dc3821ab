#include "kernels/cpu/arithmetic_peak.h"
#include "kernels/cpu/vec_avx512.h"

namespace hearth::kernels {
namespace avx512 {
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
      asm volatile("" : "+v"(sums[i].v));  // each round is computed
    }
  }
#pragma GCC unroll 16
  for (const Vec& sum : sums) sink = static_cast<int32_t>(max_lane(sum));
  return rounds * kSums * kLanes * 2;
}

template <typename Multiply>
int64_t integer_loop(int64_t rounds, int products, const Multiply& multiply) {
  __m512i sums[kSums];
#pragma GCC unroll 16
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  const __m512i x = _mm512_set1_epi32(0x01010101);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      sums[i] = multiply(sums[i], x);
      asm volatile("" : "+v"(sums[i]));
    }
  }
#pragma GCC unroll 16
  for (const __m512i& sum : sums) sink = _mm512_reduce_add_epi32(sum);
  return rounds * kSums * products * 2;
}

int64_t int16_loop(int64_t rounds) {
  return integer_loop(
      rounds, 32, [](__m512i sum, __m512i x) __attribute__((always_inline)) {
        return _mm512_dpwssd_epi32(sum, x, x);
      });
}
int64_t int8_loop(int64_t rounds) {
  return integer_loop(
      rounds, 64, [](__m512i sum, __m512i x) __attribute__((always_inline)) {
        return _mm512_dpbusd_epi32(sum, x, x);
      });
}

}  // namespace
}  // namespace avx512

PeakLoop peak_loop_avx512(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kNone:
      return nullptr;
    case Arithmetic::kF32:
      return avx512::f32_loop;
    case Arithmetic::kInt16:
      return avx512::int16_loop;
    case Arithmetic::kInt8:
      return avx512::int8_loop;
  }
  return nullptr;
}

}  // namespace hearth::kernels
