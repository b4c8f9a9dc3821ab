#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/norm/rms_norm.h"

namespace hearth::kernels {

void rms_norm_ref(const ExecContext& context, const RmsNormArgs& args) {
  for_each_slice(context, args.rows, args.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* x = args.x + row * args.x_stride;
      float* out = args.out + row * args.out_stride;
      double squares = 0.0;
      for (int64_t i = 0; i < args.cols; ++i) squares += static_cast<double>(x[i]) * x[i];
      const double mean = squares / static_cast<double>(args.cols);
      const double scale = 1.0 / std::sqrt(mean + static_cast<double>(args.eps));
      for (int64_t i = 0; i < args.cols; ++i) {
        const double weight = args.weight == nullptr ? 1.0 : double{args.weight[i]};
        out[i] = static_cast<float>(x[i] * scale * weight);
      }
    }
  });
}

}  // namespace hearth::kernels
