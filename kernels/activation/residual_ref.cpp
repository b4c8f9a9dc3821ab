#include <cmath>

#include "kernels/activation/residual.h"
#include "kernels/cpu/parallel.h"

namespace hearth::kernels {

void scale_ref(const ExecContext& context, const ScaleArgs& args) {
  for_each_slice(context, args.count, 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double value = static_cast<double>(args.x[i]) * args.scale;
      const double cap = args.softcap;
      args.x[i] = static_cast<float>(cap > 0.0 ? cap * std::tanh(value / cap) : value);
    }
  });
}

void add_ref(const ExecContext& context, const AddArgs& args) {
  for_each_slice(context, args.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      args.out[i] = static_cast<float>(args.out[i] + static_cast<double>(args.x[i]) * args.scale);
  });
}

}  // namespace hearth::kernels
