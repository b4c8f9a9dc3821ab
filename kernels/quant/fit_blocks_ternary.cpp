// Types with values -1, 0 and 1 and one scale for 256 of them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/quant/fit_blocks.h"
#include "kernels/quant/fit_scales.h"

namespace hearth::quant {
namespace {

/// The scale of least weighted squared error. Whatever it is, the values that are not rounded to
/// zero are the n largest magnitudes for some n, and their weighted mean is the best scale for
/// them: all n are tried. Weights as in weigh(), in double, as squares of f32 are no larger than
/// that.
float best_ternary_scale(const float* x) {
  double magnitudes[256];
  double squares = 0.0;
  for (int i = 0; i < 256; ++i) {
    magnitudes[i] = std::fabs(static_cast<double>(x[i]));
    squares += magnitudes[i] * magnitudes[i];
  }
  const double rms = std::sqrt(squares / 256.0);
  std::sort(magnitudes, magnitudes + 256, std::greater<>());
  double best = 0.0;
  double most = 0.0;  // of the error that a scale takes away
  double w = 0.0;
  double wx = 0.0;
  for (const double magnitude : magnitudes) {
    if (magnitude == 0.0) break;
    w += rms + magnitude;
    wx += (rms + magnitude) * magnitude;
    const double gain = wx / w * wx;
    if (gain <= most) continue;
    most = gain;
    best = wx / w;
  }
  return static_cast<float>(best);
}

/// Codes 0, 1 and 2 for -1, 0 and 1; the scale.
F16 fit_ternary(const float* x, int* codes) {
  const F16 bits = scale_to_f16(best_ternary_scale(x));
  const float d = f16_to_f32(bits);
  for (int i = 0; i < 256; ++i) {
    const bool is_zero = d == 0.0F || std::fabs(x[i]) <= 0.5F * d;
    codes[i] = is_zero ? 1 : (x[i] < 0.0F ? 0 : 2);
  }
  return bits;
}

/// `count` digits, `stride` codes apart, as the first of five digits of a fraction of base 3,
/// rounded up to a multiple of 1/256.
uint8_t join_digits(const int* codes, int stride, int count) {
  int number = 0;
  for (int n = 0; n < 5; ++n) number = 3 * number + (n < count ? codes[n * stride] : 0);
  return static_cast<uint8_t>((number * 256 + 242) / 243);
}

}  // namespace

void fit_block(const float* x, BlockTQ1_0& block) {
  int codes[256];
  block.d = fit_ternary(x, codes);
  for (int i = 0; i < 32; ++i) block.qs[i] = join_digits(codes + i, 32, 5);
  for (int i = 0; i < 16; ++i) block.qs[32 + i] = join_digits(codes + 160 + i, 16, 5);
  for (int i = 0; i < 4; ++i) block.qh[i] = join_digits(codes + 240 + i, 4, 4);
}

void fit_block(const float* x, BlockTQ2_0& block) {
  int codes[256];
  block.d = fit_ternary(x, codes);
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 32; ++i) {
      const int* first = codes + 128 * half + i;
      block.qs[32 * half + i] =
          static_cast<uint8_t>(first[0] | first[32] << 2 | first[64] << 4 | first[96] << 6);
    }
  }
}

}  // namespace hearth::quant
