#include "kernels/cuda/gemm.h"

#include <cstddef>

#include "base/check.h"

namespace hearth::kernels::simt {

void check_gemm(const GemmArgs& args) {
  const size_t value_bytes = args.type == GemmType::kTF32 ? sizeof(float) : sizeof(uint16_t);
  const auto aligned = [](const void* at, size_t bytes) {
    return at != nullptr && reinterpret_cast<uintptr_t>(at) % bytes == 0;
  };
  HEARTH_CHECK(args.rows > 0 && args.outputs > 0 && args.cols > 0, "a product has values");
  HEARTH_CHECK(aligned(args.weight, value_bytes) && aligned(args.x, value_bytes) &&
                   aligned(args.out, sizeof(float)),
               "matrices of a product are aligned");
  HEARTH_CHECK(args.weight_stride >= args.cols && args.weight_stride <= INT32_MAX,
               "weights of a product do not overlap");
  HEARTH_CHECK(args.out_stride >= args.outputs && args.out_stride <= INT32_MAX,
               "outputs of a product do not overlap");
}

}  // namespace hearth::kernels::simt
