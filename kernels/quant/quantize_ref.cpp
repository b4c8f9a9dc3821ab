#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/quant/half.h"
#include "kernels/quant/quantize_blocks.h"

namespace hearth::kernels {
namespace {

/// y.q in the order that all variants keep.
float dot_in_halves(const float* y, const int8_t* q) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) {
    const float low = y[i] * static_cast<float>(q[i]);
    const float high = y[i + 16] * static_cast<float>(q[i + 16]);
    lanes[i] = low + high;
  }
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

/// The best codes of y into q; gives the slope y.q / q.q.
float choose_codes(const float* y, int8_t* q) {
  float best_score = -1.0F;
  float slope = 0.0F;
  for (const float steps : kCodeSteps) {
    int8_t codes[32];
    int squares = 0;
    for (int i = 0; i < 32; ++i) {
      codes[i] = static_cast<int8_t>(std::nearbyint(y[i] * steps));
      squares += codes[i] * codes[i];
    }
    const float dot = dot_in_halves(y, codes);
    const float candidate = dot / static_cast<float>(squares);
    const float score = dot * candidate;
    if (score > best_score) {
      best_score = score;
      slope = candidate;
      std::copy_n(codes, 32, q);
    }
  }
  return slope;
}

void quantize_block(const float* x, int8_t* q, float& scale, int16_t* sum16) {
  // Magnitudes are compared as bits, so that a NaN is the largest of all.
  uint32_t largest_bits = 0;
  for (int i = 0; i < 32; ++i)
    largest_bits = std::max(largest_bits, float_to_bits(x[i]) & 0x7FFFFFFFU);
  const float largest = float_from_bits(largest_bits);
  scale = largest / 127.0F;
  if (std::isfinite(scale) && scale >= std::numeric_limits<float>::min()) {
    float y[32];
    for (int i = 0; i < 32; ++i) y[i] = x[i] / largest;
    scale = largest * choose_codes(y, q);
  } else {
    if (std::isfinite(scale)) scale = 0.0F;
    std::fill_n(q, 32, int8_t{0});
  }
  for (int half = 0; half < 2; ++half) {
    int sum = 0;
    for (int i = 0; i < 16; ++i) sum += q[half * 16 + i];
    sum16[half] = static_cast<int16_t>(sum);
  }
}

}  // namespace

void check_quantize(const QuantizeArgs& args) {
  HEARTH_CHECK(args.cols % 32 == 0, "rows are whole blocks of 32");
}

void quantize_ref(const ExecContext& context, const QuantizeArgs& args) {
  quantize_blocks(context, args, [](const float* x, int8_t* q, float& scale, int16_t* sum16) {
    quantize_block(x, q, scale, sum16);
  });
}

}  // namespace hearth::kernels
