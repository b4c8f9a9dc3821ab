#include <cmath>

#include "kernels/activation/silu_mul.h"
#include "kernels/cpu/parallel.h"

namespace hearth::kernels {

void silu_mul_ref(const ExecContext& context, const SiluMulArgs& args) {
  for_each_slice(context, args.rows, args.cols * kSiluWork, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* gate = args.gate + row * args.gate_stride;
      const float* up = args.up + row * args.up_stride;
      float* out = args.out + row * args.out_stride;
      for (int64_t i = 0; i < args.cols; ++i) {
        const double x = gate[i];
        out[i] = static_cast<float>(x / (1.0 + std::exp(-x)) * up[i]);
      }
    }
  });
}

}  // namespace hearth::kernels
