#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/norm/layer_norm.h"

namespace hearth::kernels {

void layer_norm_ref(const ExecContext& context, const LayerNormArgs& args) {
  for_each_slice(context, args.rows, 2 * args.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = args.x + row * args.x_stride;
      float* out = args.out + row * args.out_stride;
      double mean = 0.0;
      for (int64_t i = 0; i < args.cols; ++i) mean += x[i];
      mean /= static_cast<double>(args.cols);
      double squares = 0.0;
      for (int64_t i = 0; i < args.cols; ++i) squares += (x[i] - mean) * (x[i] - mean);
      const double variance = squares / static_cast<double>(args.cols);
      const double scale = 1.0 / std::sqrt(variance + static_cast<double>(args.eps));
      for (int64_t i = 0; i < args.cols; ++i) {
        const double bias = args.bias == nullptr ? 0.0 : double{args.bias[i]};
        out[i] = static_cast<float>((x[i] - mean) * scale * args.weight[i] + bias);
      }
    }
  });
}

}  // namespace hearth::kernels
