#pragma once
// Least-squares searches of the scales of up to 32 values. Loops are written so that a compiler may
// use vectors without changing a bit: sums have four lanes.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/quant/half.h"
#include "kernels/quant/unpack.h"

namespace hearth::quant {

/// Nearest integer, ties to even, of |v| < 2^22; a baseline CPU has no instruction for it.
inline float round_nearest(float v) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: the sum's last bit is worth one
  return (v + kMagic) - kMagic;
}

/// The sum over i of f(i), i < N, a multiple of 4.
template <int N, typename F>
inline float lane_sum(const F& f) {
  float lanes[4] = {0.0F, 0.0F, 0.0F, 0.0F};
  for (int i = 0; i < N; i += 4)
    for (int l = 0; l < 4; ++l) lanes[l] += f(i + l);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

/// Codes that stand for their own value, low … high.
struct Uniform {
  float low;
  float high;
  [[nodiscard]] float nearest(float v) const {
    return round_nearest(std::min(std::max(v, low), high));
  }
  [[nodiscard]] int code(float v) const { return static_cast<int>(nearest(v) - low); }
};

/// Codes that stand for values of a table: the 16 of IQ4, or those of MXFP4.
class Table {
 public:
  /// `value_of(code)` is an integer within ±127, for codes 0 to 15.
  template <typename F>
  explicit Table(const F& value_of) {
    for (int half = -256; half < 256; ++half) {
      int best = 0;
      const float middle = (static_cast<float>(half) + 0.5F) / 2.0F;  // of [half, half + 1) / 2
      for (int code = 1; code < 16; ++code) {
        if (std::fabs(static_cast<float>(value_of(code)) - middle) <
            std::fabs(static_cast<float>(value_of(best)) - middle))
          best = code;
      }
      codes_[static_cast<size_t>(half + 256)] = static_cast<uint8_t>(best);
      values_[static_cast<size_t>(half + 256)] = static_cast<float>(value_of(best));
    }
    low = *std::ranges::min_element(values_);
    high = *std::ranges::max_element(values_);
  }
  [[nodiscard]] float nearest(float v) const { return values_[index(v)]; }
  [[nodiscard]] int code(float v) const { return codes_[index(v)]; }

  float low = 0.0F;
  float high = 0.0F;

 private:
  // Values are integers, so the middle between two of them is a multiple of a half.
  static size_t index(float v) {
    return static_cast<size_t>(std::floor(2.0F * std::min(std::max(v, -128.0F), 127.5F)) + 256.0F);
  }
  std::array<uint8_t, 512> codes_;
  std::array<float, 512> values_;
};

inline const Table& iq4_table() {
  static const Table table([](int code) { return iq4_value(code); });
  return table;
}

inline const Table& mxfp4_table() {
  static const Table table([](int code) { return mxfp4_value(code); });
  return table;
}

/// Values and how much the squared error of each counts.
template <int N>
struct Weighted {
  alignas(16) float x[N];
  alignas(16) float w[N];
};

/// The squared error of large values counts more: they matter more to the products. Measured as KL
/// divergence from the unquantized model: weights that grow with x^2 alone are worse for 2 and 3
/// bits, equal ones for 4 bits.
template <int N>
inline Weighted<N> weigh(const float* x) {
  Weighted<N> out;
  const float rms = std::sqrt(lane_sum<N>([&](int i) { return x[i] * x[i]; }) / float{N});
  for (int i = 0; i < N; ++i) {
    out.x[i] = x[i];
    out.w[i] = rms + std::fabs(x[i]);
  }
  return out;
}

/// A scale as it is stored, never infinite.
inline uint16_t scale_to_f16(float scale) {
  return f32_to_f16(std::clamp(scale, -65504.0F, 65504.0F));
}

/// x ~ scale * q - min
struct Fit {
  float scale = 0.0F;
  float min = 0.0F;
};

/// Weighted squared error of the values with the nearest codes.
template <int N, typename Codes>
inline float error_of(const Weighted<N>& v, const Codes& codes, Fit fit) {
  const float inverse = fit.scale == 0.0F ? 0.0F : 1.0F / fit.scale;
  return lane_sum<N>([&](int i) {
    const float q = codes.nearest((v.x[i] + fit.min) * inverse);
    const float e = v.x[i] - (fit.scale * q - fit.min);
    return v.w[i] * e * e;
  });
}

/// The nearest codes, counted from zero.
template <int N, typename Codes>
inline void codes_of(const Weighted<N>& v, const Codes& range, Fit fit, int* codes) {
  const float inverse = fit.scale == 0.0F ? 0.0F : 1.0F / fit.scale;
  for (int i = 0; i < N; ++i) codes[i] = range.code((v.x[i] + fit.min) * inverse);
}

/// The scale of least squared error for the codes that `scale` leads to; 0 if they all are zero.
template <int N, typename Codes>
inline float refit_scale(const Weighted<N>& v, const Codes& codes, float scale) {
  const float inverse = 1.0F / scale;
  alignas(16) float q[N];
  for (int i = 0; i < N; ++i) q[i] = codes.nearest(v.x[i] * inverse);
  const float xq = lane_sum<N>([&](int i) { return v.w[i] * v.x[i] * q[i]; });
  const float qq = lane_sum<N>([&](int i) { return v.w[i] * q[i] * q[i]; });
  return qq > 0.0F ? xq / qq : 0.0F;
}

/// Which minima a type can store.
enum class Minima { kNotNegative, kAny };

/// Scale and minimum of least squared error for the codes that `fit` leads to; `fit` itself if they
/// determine none.
template <Minima kMinima, int N>
inline Fit refit_with_min(const Weighted<N>& v, const Uniform& codes, Fit fit) {
  const float inverse = 1.0F / fit.scale;
  alignas(16) float q[N];
  for (int i = 0; i < N; ++i) q[i] = codes.nearest((v.x[i] + fit.min) * inverse);
  const float w = lane_sum<N>([&](int i) { return v.w[i]; });
  const float wx = lane_sum<N>([&](int i) { return v.w[i] * v.x[i]; });
  const float wq = lane_sum<N>([&](int i) { return v.w[i] * q[i]; });
  const float xq = lane_sum<N>([&](int i) { return v.w[i] * v.x[i] * q[i]; });
  const float qq = lane_sum<N>([&](int i) { return v.w[i] * q[i] * q[i]; });
  const float determinant = w * qq - wq * wq;
  if (!(determinant > 0.0F)) return fit;
  const Fit out{(w * xq - wx * wq) / determinant, (wq * xq - wx * qq) / determinant};
  if ((kMinima == Minima::kAny || out.min >= 0.0F) && out.scale > 0.0F) return out;
  if (qq > 0.0F && xq > 0.0F) return {xq / qq, 0.0F};
  return fit;
}

/// Keeps the better of what it holds and what it is offered.
struct BestFit {
  Fit fit;
  float error;
  bool offer(Fit other, float other_error) {
    if (!(other_error < error)) return false;
    fit = other;
    error = other_error;
    return true;
  }
};

/// The scale (of either sign) of least weighted error for codes around zero.
template <int N, typename Codes>
inline float search_scale(const Weighted<N>& v, const Codes& codes) {
  float largest = 0.0F;
  for (int i = 0; i < N; ++i)
    if (std::fabs(v.x[i]) > std::fabs(largest)) largest = v.x[i];
  BestFit best{{}, error_of(v, codes, Fit{})};
  if (largest == 0.0F) return 0.0F;
  // The largest value at the end of either side, and up to 1.3 codes of 8 beyond or before it.
  for (const float end : {codes.low, codes.high}) {
    for (int step = -8; step <= 8; ++step) {
      const float scale = largest / end * (1.0F + 0.02F * static_cast<float>(step));
      if (!std::isnormal(scale)) continue;
      const float refit = refit_scale(v, codes, scale);
      if (std::isnormal(refit)) best.offer({refit, 0.0F}, error_of(v, codes, {refit, 0.0F}));
    }
  }
  for (int round = 0; round < 2 && best.fit.scale != 0.0F; ++round) {
    const float refit = refit_scale(v, codes, best.fit.scale);
    if (!std::isnormal(refit) || !best.offer({refit, 0.0F}, error_of(v, codes, {refit, 0.0F})))
      break;
  }
  return best.fit.scale;
}

/// Scale (not below zero) and minimum of least weighted error for codes 0 … codes.high.
template <Minima kMinima, int N>
inline Fit search_with_min(const Weighted<N>& v, const Uniform& codes) {
  const auto [low, high] = std::minmax_element(v.x, v.x + N);
  const float min = kMinima == Minima::kAny ? -*low : std::max(0.0F, -*low);
  const float range = *high + min;
  BestFit best{{0.0F, min}, error_of(v, codes, {0.0F, min})};
  // Constant, or too close for a scale that can be divided by.
  if (!std::isnormal(range / codes.high)) return best.fit;
  // From one code fewer than there are to one code more, at most half as many.
  const float reach = std::min(1.0F, codes.high / 4.0F);
  for (int step = -8; step <= 8; ++step) {
    const float scale = range / (codes.high + reach * static_cast<float>(step) / 8.0F);
    for (const float share : {1.0F, 0.9F, 0.8F}) {
      const Fit fit =
          refit_with_min<kMinima>(v, codes, {scale * (share + 1.0F) / 2.0F, min * share});
      if (std::isnormal(fit.scale)) best.offer(fit, error_of(v, codes, fit));
    }
  }
  for (int round = 0; round < 2 && best.fit.scale != 0.0F; ++round) {
    const Fit fit = refit_with_min<kMinima>(v, codes, best.fit);
    if (!std::isnormal(fit.scale) || !best.offer(fit, error_of(v, codes, fit))) break;
  }
  return best.fit;
}

}  // namespace hearth::quant
