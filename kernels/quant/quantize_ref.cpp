#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/matmul/parallel.h"
#include "kernels/quant/half.h"
#include "kernels/quant/quantize_rows.h"

namespace hearth::kernels {
namespace {

void quantize_block(const float* x, int8_t* q, float& scale, int16_t* sum16) {
  // Magnitudes are compared as bits, so that a NaN is the largest of all.
  uint32_t largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, float_to_bits(x[i]) & 0x7FFFFFFFU);
  scale = float_from_bits(largest) / 127.0F;
  const bool usable = std::isfinite(scale) && scale >= std::numeric_limits<float>::min();
  for (int i = 0; i < 32; ++i)
    q[i] = usable ? static_cast<int8_t>(std::nearbyint(x[i] / scale)) : int8_t{0};
  if (std::isfinite(scale) && !usable) scale = 0.0F;
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
  check_quantize(args);
  const int64_t blocks = args.rows * (args.cols / 32);
  run_on_pool(context, [&](int index, int threads) {
    const Slice slice = thread_slice(blocks, 16, index, threads);
    for (int64_t b = slice.begin; b < slice.end; ++b)
      quantize_block(args.x + b * 32, args.out.q + b * 32, args.out.scale[b],
                     args.out.sum16 + b * 2);
  });
}

}  // namespace hearth::kernels
