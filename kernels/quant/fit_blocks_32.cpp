// Types with one scale, or scale and minimum, for each 32 values.
#include <cstring>

#include "kernels/quant/fit_blocks.h"
#include "kernels/quant/fit_scales.h"

namespace hearth::quant {
namespace {

/// Low half-bytes in pairs (i, i + 16), fifth bits in qh where the type has them.
void store_codes(const int* codes, uint8_t* qs, uint8_t* qh) {
  for (int i = 0; i < 16; ++i)
    qs[i] = static_cast<uint8_t>((codes[i] & 15) | ((codes[i + 16] & 15) << 4));
  if (qh == nullptr) return;
  std::memset(qh, 0, 4);
  for (int i = 0; i < 32; ++i)
    qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | ((codes[i] >> 4) << (i % 8)));
}

F16 fit_symmetric(const float* x, int half, int* codes) {
  const auto values = weigh<32>(x);
  const Uniform range{static_cast<float>(-half), static_cast<float>(half - 1)};
  const F16 d = scale_to_f16(search_scale(values, range));
  codes_of(values, range, {f16_to_f32(d), 0.0F}, codes);
  return d;
}

void fit_with_min(const float* x, int top, int* codes, F16& d, F16& m) {
  const auto values = weigh<32>(x);
  const Uniform range{0.0F, static_cast<float>(top)};
  const Fit fit = search_with_min<Minima::kAny>(values, range);
  d = scale_to_f16(fit.scale);
  m = scale_to_f16(-fit.min);
  codes_of(values, range, {f16_to_f32(d), -f16_to_f32(m)}, codes);
}

}  // namespace

void fit_block(const float* x, BlockQ4_0& block) {
  int codes[32];
  block.d = fit_symmetric(x, 8, codes);
  store_codes(codes, block.qs, nullptr);
}

void fit_block(const float* x, BlockQ5_0& block) {
  int codes[32];
  block.d = fit_symmetric(x, 16, codes);
  store_codes(codes, block.qs, block.qh);
}

void fit_block(const float* x, BlockQ4_1& block) {
  int codes[32];
  fit_with_min(x, 15, codes, block.d, block.m);
  store_codes(codes, block.qs, nullptr);
}

void fit_block(const float* x, BlockQ5_1& block) {
  int codes[32];
  fit_with_min(x, 31, codes, block.d, block.m);
  store_codes(codes, block.qs, block.qh);
}

void fit_block(const float* x, BlockIQ4_NL& block) {
  const auto values = weigh<32>(x);
  int codes[32];
  block.d = scale_to_f16(search_scale(values, iq4_table()));
  codes_of(values, iq4_table(), {f16_to_f32(block.d), 0.0F}, codes);
  store_codes(codes, block.qs, nullptr);
}

void fit_block(const float* x, BlockMXFP4& block) {
  const auto values = weigh<32>(x);
  float largest = 0.0F;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[i]));
  int exponent;  // the least at which no value is beyond the largest code
  std::frexp(largest / mxfp4_table().high, &exponent);
  // Below, the inverse of the scale is not finite; above, the largest value is not.
  constexpr int kLeast = 2;
  constexpr int kMost = 252;
  block.d = static_cast<uint8_t>(std::clamp(exponent + 128, kLeast, kMost));
  float least = error_of(values, mxfp4_table(), {mxfp4_scale(block.d), 0.0F});
  // Smaller scales cut off the largest values and are finer for all others.
  for (int e = block.d - 1; e >= std::max(kLeast, exponent + 126); --e) {
    const float error =
        error_of(values, mxfp4_table(), {mxfp4_scale(static_cast<uint8_t>(e)), 0.0F});
    if (!(error < least)) continue;
    least = error;
    block.d = static_cast<uint8_t>(e);
  }
  int codes[32];
  codes_of(values, mxfp4_table(), {mxfp4_scale(block.d), 0.0F}, codes);
  store_codes(codes, block.qs, nullptr);
}

}  // namespace hearth::quant
