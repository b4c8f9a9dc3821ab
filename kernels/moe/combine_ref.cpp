#include "kernels/cpu/parallel.h"
#include "kernels/moe/moe.h"

namespace hearth::kernels {

void combine_ref(const ExecContext& context, const CombineArgs& args) {
  for_each_slice(context, args.rows, args.cols * args.used, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < args.cols; ++i) {
        double sum = 0.0;
        for (int64_t at = row * args.used; at < (row + 1) * args.used; ++at) {
          const double weight = args.weight == nullptr ? 1.0 : double{args.weight[at]};
          sum += weight * static_cast<double>(args.x[args.slot[at] * args.cols + i]);
        }
        float& out = args.out[row * args.cols + i];
        out = static_cast<float>(args.accumulate ? out + sum : sum);
      }
    }
  });
}

}  // namespace hearth::kernels
