#pragma once
// The small vector type that the .inc files of elementwise and reduction ops are written over, for
// AVX2 with FMA and F16C. Only *_avx2.cpp files include this; everything lives in the namespace
// `avx2`, so that no inline function is shared with code built for another instruction set.
// vec_avx512.h has the same names.

#include <immintrin.h>

#include <cstdint>

#define HEARTH_ISA avx2

namespace hearth::kernels::avx2 {

struct Vec {
  __m256 v;
};

/// Floats in a Vec. "Partial" loads and stores touch the first n lanes, 0 <= n <= kLanes, and no
/// memory beyond them; the other lanes load as 0.
inline constexpr int kLanes = 8;

/// All bits set in lanes i < n.
inline __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec load_partial(const float* p, int n) { return {_mm256_maskload_ps(p, lane_mask(n))}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline void store_partial(float* p, int n, Vec a) { _mm256_maskstore_ps(p, lane_mask(n), a.v); }
inline Vec set1(float x) { return {_mm256_set1_ps(x)}; }
inline Vec zero() { return {_mm256_setzero_ps()}; }

inline Vec load_f16(const void* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
inline Vec load_f16_partial(const void* p, int n) {
  uint16_t lanes[kLanes] = {};
  __builtin_memcpy(lanes, p, static_cast<size_t>(n) * sizeof lanes[0]);
  return load_f16(lanes);
}
inline void store_f16(void* p, Vec a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
/// kLanes signed bytes as floats.
inline Vec load_i8(const void* p) {
  return {
      _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))))};
}

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
/// Where a is NaN the result is b.
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec round_to_even(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// 2^a for whole a in [-127, 128]; the ends give 0 and infinity.
inline Vec power_of_two(Vec a) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(biased, 23))};
}
/// value, but 0 in lanes where x < bound.
inline Vec zero_below(Vec x, Vec bound, Vec value) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(x.v, bound.v, _CMP_LT_OQ), value.v)};
}
/// |a|
inline Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.v)}; }
/// below in lanes where x < bound, else otherwise.
inline Vec select_below(Vec x, Vec bound, Vec below, Vec otherwise) {
  return {_mm256_blendv_ps(otherwise.v, below.v, _mm256_cmp_ps(x.v, bound.v, _CMP_LT_OQ))};
}
/// inside in lanes begin <= i < end, else outside.
inline Vec select_lanes(int begin, int end, Vec inside, Vec outside) {
  const __m256i mask = _mm256_andnot_si256(lane_mask(begin), lane_mask(end));
  return {_mm256_blendv_ps(outside.v, inside.v, _mm256_castsi256_ps(mask))};
}

/// Lanes summed by halves: i with i + 4, then i + 2, then i + 1.
inline float sum(Vec a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float max_lane(Vec a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// Lane i of the result is the sum of rows[i], each in the order of sum(). Each step adds halves of
/// two rows at once, so that 8 rows cost 7 additions.
inline Vec sum_rows(const Vec (&rows)[kLanes]) {
  __m256 four[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    four[i] = _mm256_add_ps(_mm256_permute2f128_ps(rows[i].v, rows[i + 4].v, 0x20),
                            _mm256_permute2f128_ps(rows[i].v, rows[i + 4].v, 0x31));
  __m256 two[2];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i)
    two[i] = _mm256_add_ps(_mm256_shuffle_ps(four[i], four[i + 2], 0x44),
                           _mm256_shuffle_ps(four[i], four[i + 2], 0xEE));
  const __m256 one = _mm256_add_ps(_mm256_shuffle_ps(two[0], two[1], 0x88),
                                   _mm256_shuffle_ps(two[0], two[1], 0xDD));
  // The lanes now belong to rows 0 2 1 3 4 6 5 7.
  return {_mm256_permutevar8x32_ps(one, _mm256_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7))};
}

/// Lanes (0, 1), (2, 3), … exchanged; or both set to the even, or to the odd one.
inline Vec swap_pairs(Vec a) { return {_mm256_permute_ps(a.v, 0xB1)}; }
inline Vec even_pairs(Vec a) { return {_mm256_moveldup_ps(a.v)}; }
inline Vec odd_pairs(Vec a) { return {_mm256_movehdup_ps(a.v)}; }
/// a * b - c in even lanes, a * b + c in odd ones, rounded once.
inline Vec fma_sub_add(Vec a, Vec b, Vec c) { return {_mm256_fmaddsub_ps(a.v, b.v, c.v)}; }

struct VecPair {
  Vec even;
  Vec odd;
};
/// The even and the odd elements of the 2 * kLanes in a, b.
inline VecPair split_pairs(Vec a, Vec b) {
  const __m256 even = _mm256_shuffle_ps(a.v, b.v, 0x88);  // a0 a2 b0 b2 | a4 a6 b4 b6
  const __m256 odd = _mm256_shuffle_ps(a.v, b.v, 0xDD);
  return {{_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), 0xD8))},
          {_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(odd), 0xD8))}};
}

/// A sum of squares in double: no input overflows it, and its rounding does not count.
struct SquareSum {
  __m256d low = _mm256_setzero_pd();
  __m256d high = _mm256_setzero_pd();

  void add(Vec a) {
    const __m256d l = _mm256_cvtps_pd(_mm256_castps256_ps128(a.v));
    const __m256d h = _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1));
    low = _mm256_fmadd_pd(l, l, low);
    high = _mm256_fmadd_pd(h, h, high);
  }
  [[nodiscard]] double total() const {
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }
};

/// A sum of values in double.
struct ValueSum {
  __m256d low = _mm256_setzero_pd();
  __m256d high = _mm256_setzero_pd();

  void add(Vec a) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  [[nodiscard]] double total() const { return SquareSum{low, high}.total(); }
};

}  // namespace hearth::kernels::avx2
