#pragma once
// The small vector type for AArch64: the same names and meanings as in vec_avx2.h, and as many
// lanes, in two registers: enough independent chains for the latency of its fused multiplications,
// and the orders of summation are AVX2's. Only *_neon.cpp files include this.

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#define HEARTH_ISA neon

namespace hearth::kernels::neon {

struct Vec {
  float32x4_t low;
  float32x4_t high;
};

inline constexpr int kLanes = 8;

/// All bits set in lanes i < n of the half whose first lane is `first`.
inline uint32x4_t lane_mask(int n, int first) {
  constexpr int32_t kIndex[4] = {0, 1, 2, 3};
  return vcltq_s32(vld1q_s32(kIndex), vdupq_n_s32(n - first));
}

inline Vec load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
inline Vec load_partial(const float* p, int n) {
  if (n >= kLanes) return load(p);
  float lanes[kLanes] = {};
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline void store(float* p, Vec a) {
  vst1q_f32(p, a.low);
  vst1q_f32(p + 4, a.high);
}
inline void store_partial(float* p, int n, Vec a) {
  if (n >= kLanes) return store(p, a);
  float lanes[kLanes];
  store(lanes, a);
  for (int i = 0; i < n; ++i) p[i] = lanes[i];
}
inline Vec set1(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
inline Vec zero() { return set1(0.0F); }

inline Vec load_f16(const void* p) {
  const float16x8_t halves = vreinterpretq_f16_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
  return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
}
inline Vec load_f16_partial(const void* p, int n) {
  if (n >= kLanes) return load_f16(p);
  uint16_t lanes[kLanes] = {};
  __builtin_memcpy(lanes, p, static_cast<size_t>(n) * sizeof lanes[0]);
  return load_f16(lanes);
}
inline void store_f16(void* p, Vec a) {
  const float16x8_t halves = vcvt_high_f16_f32(vcvt_f16_f32(a.low), a.high);
  vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_f16(halves));
}
/// kLanes signed bytes as floats.
inline Vec load_i8(const void* p) {
  const int16x8_t words = vmovl_s8(vld1_s8(static_cast<const int8_t*>(p)));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))), vcvtq_f32_s32(vmovl_high_s16(words))};
}

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
inline Vec fma(Vec a, Vec b, Vec c) {
  return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
inline Vec select_below(Vec x, Vec bound, Vec below, Vec otherwise) {
  return {vbslq_f32(vcltq_f32(x.low, bound.low), below.low, otherwise.low),
          vbslq_f32(vcltq_f32(x.high, bound.high), below.high, otherwise.high)};
}
// The instructions for maxima treat NaN in other ways: a comparison does as vec_avx2.h says.
inline Vec max(Vec a, Vec b) { return select_below(b, a, a, b); }
inline Vec min(Vec a, Vec b) { return select_below(a, b, a, b); }
inline Vec round_to_even(Vec a) { return {vrndnq_f32(a.low), vrndnq_f32(a.high)}; }
inline float32x4_t power_of_two(float32x4_t a) {
  const int32x4_t biased = vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127));
  return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}
inline Vec power_of_two(Vec a) { return {power_of_two(a.low), power_of_two(a.high)}; }
inline Vec zero_below(Vec x, Vec bound, Vec value) { return select_below(x, bound, zero(), value); }
inline Vec abs(Vec a) { return {vabsq_f32(a.low), vabsq_f32(a.high)}; }
inline Vec select_lanes(int begin, int end, Vec inside, Vec outside) {
  const uint32x4_t low = vbicq_u32(lane_mask(end, 0), lane_mask(begin, 0));
  const uint32x4_t high = vbicq_u32(lane_mask(end, 4), lane_mask(begin, 4));
  return {vbslq_f32(low, inside.low, outside.low), vbslq_f32(high, inside.high, outside.high)};
}

/// Lanes summed by halves: i with i + 4, then i + 2, then i + 1.
inline float sum(Vec a) {
  const float32x4_t four = vaddq_f32(a.low, a.high);
  return vaddv_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
}
inline float max_lane(Vec a) { return vmaxvq_f32(vmaxq_f32(a.low, a.high)); }

/// Lane i of the result is the sum of rows[i], each in the order of sum(). Each step adds halves of
/// two rows at once.
inline Vec sum_rows(const Vec (&rows)[kLanes]) {
  const auto four = [&](int i) { return vaddq_f32(rows[i].low, rows[i].high); };
  const auto two_of_both = [&](int i) {
    const float64x2_t a = vreinterpretq_f64_f32(four(i));
    const float64x2_t b = vreinterpretq_f64_f32(four(i + 1));
    return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(a, b)),
                     vreinterpretq_f32_f64(vzip2q_f64(a, b)));
  };
  return {vpaddq_f32(two_of_both(0), two_of_both(2)), vpaddq_f32(two_of_both(4), two_of_both(6))};
}

inline Vec swap_pairs(Vec a) { return {vrev64q_f32(a.low), vrev64q_f32(a.high)}; }
inline Vec even_pairs(Vec a) { return {vtrn1q_f32(a.low, a.low), vtrn1q_f32(a.high, a.high)}; }
inline Vec odd_pairs(Vec a) { return {vtrn2q_f32(a.low, a.low), vtrn2q_f32(a.high, a.high)}; }
inline float32x4_t negate_even(float32x4_t a) {
  const uint32x4_t signs = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000U));
  return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a), signs));
}
inline Vec fma_sub_add(Vec a, Vec b, Vec c) {
  return fma(a, b, {negate_even(c.low), negate_even(c.high)});
}

struct VecPair {
  Vec even;
  Vec odd;
};
inline VecPair split_pairs(Vec a, Vec b) {
  return {{vuzp1q_f32(a.low, a.high), vuzp1q_f32(b.low, b.high)},
          {vuzp2q_f32(a.low, a.high), vuzp2q_f32(b.low, b.high)}};
}

/// Four sums of doubles; add(term, f) calls f(sum, lanes) for each.
struct DoubleSums {
  float64x2_t lanes[4] = {vdupq_n_f64(0.0), vdupq_n_f64(0.0), vdupq_n_f64(0.0), vdupq_n_f64(0.0)};

  template <typename F>
  void add(Vec a, const F& f) {
    lanes[0] = f(lanes[0], vcvt_f64_f32(vget_low_f32(a.low)));
    lanes[1] = f(lanes[1], vcvt_high_f64_f32(a.low));
    lanes[2] = f(lanes[2], vcvt_f64_f32(vget_low_f32(a.high)));
    lanes[3] = f(lanes[3], vcvt_high_f64_f32(a.high));
  }
  [[nodiscard]] double total() const {
    return vaddvq_f64(vaddq_f64(vaddq_f64(lanes[0], lanes[2]), vaddq_f64(lanes[1], lanes[3])));
  }
};

struct SquareSum {
  DoubleSums sums;
  void add(Vec a) {
    sums.add(a, [](float64x2_t sum, float64x2_t x) { return vfmaq_f64(sum, x, x); });
  }
  [[nodiscard]] double total() const { return sums.total(); }
};

struct ValueSum {
  DoubleSums sums;
  void add(Vec a) {
    sums.add(a, [](float64x2_t sum, float64x2_t x) { return vaddq_f64(sum, x); });
  }
  [[nodiscard]] double total() const { return sums.total(); }
};

}  // namespace hearth::kernels::neon
