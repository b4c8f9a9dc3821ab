#include "kernels/matmul/matmul.h"

#include "base/check.h"
#include "kernels/matmul/check_jobs.h"

namespace hearth::kernels {

MatmulInput matmul_input(DType weight) {
  return dtype_info(weight).block_size == 1 ? MatmulInput::kF32 : MatmulInput::kQ8;
}

void check_jobs(const ActivationView& x, const MatmulArgs* jobs, int num_jobs,
                MatmulInput compact) {
  for (int j = 0; j < num_jobs; ++j) {
    const WeightView& weight = jobs[j].weight;
    HEARTH_CHECK(weight.cols == x.cols, "weights and input have the same inner size");
    HEARTH_CHECK(weight.cols % dtype_info(weight.dtype).block_size == 0, "rows are whole blocks");
    HEARTH_CHECK(weight.row_bytes >= row_bytes(weight.dtype, weight.cols), "rows do not overlap");
    HEARTH_CHECK(jobs[j].out_stride >= weight.rows, "output rows do not overlap");
    if (matmul_input(weight.dtype) == MatmulInput::kF32) {
      const bool ordered =
          compact == MatmulInput::kHalf && weight.dtype == DType::kF16 && x.half.in_order;
      HEARTH_CHECK(x.f32 != nullptr || ordered, "float weights read the f32 form");
    } else if (compact == MatmulInput::kHalf) {
      HEARTH_CHECK(x.half.value != nullptr && !x.half.in_order,
                   "quantized weights read 16-bit floats in the order of the products");
    } else {
      HEARTH_CHECK(x.q8.q != nullptr, "quantized weights read the int8 form");
    }
  }
}

}  // namespace hearth::kernels
