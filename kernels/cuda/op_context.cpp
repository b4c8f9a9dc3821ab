#include "kernels/cuda/op_context.h"

#include "base/check.h"

namespace hearth::kernels::simt {

void check_launch(const OpContext& context, Ctas ctas, size_t shared_bytes) {
  constexpr int kMostY = 65'535;  // of the second and third dimension of a grid
  HEARTH_CHECK(ctas.x > 0 && ctas.y > 0 && ctas.z > 0, "a launch has ctas");
  HEARTH_CHECK(ctas.y <= kMostY && ctas.z <= kMostY, "the grid is one that devices take");
  HEARTH_CHECK(shared_bytes <= context.shared_bytes_per_cta, "a cta's shared memory fits");
}

}  // namespace hearth::kernels::simt
