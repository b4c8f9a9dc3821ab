#include <cstring>

#include "kernels/cpu/parallel.h"
#include "kernels/moe/moe.h"

namespace hearth::kernels {

void gather_ref(const ExecContext& context, const GatherArgs& args) {
  for_each_slice(context, args.slots, args.cols, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const float* x = args.x + args.source[s] / args.used * args.cols;
      float* out = args.out + s * args.cols;
      if (args.weight == nullptr) {
        std::memcpy(out, x, static_cast<size_t>(args.cols) * sizeof(float));
        continue;
      }
      const float weight = args.weight[args.source[s]];
      for (int64_t i = 0; i < args.cols; ++i) out[i] = x[i] * weight;
    }
  });
}

}  // namespace hearth::kernels
