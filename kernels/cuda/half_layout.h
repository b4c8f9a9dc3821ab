#pragma once
// The order of HalfRows (kernels/tensor_view.h). C++20: CUDA code includes this header.

#include <cstdint>

#include "kernels/quant/half.h"

namespace hearth::kernels::simt {

/// Where value i of a block of 32 lies: the 8 values that one lane of two tensor-core products
/// takes (4 quad … + 3 and 16 + 4 quad … + 3) are next to each other, so that it loads them at
/// once.
HEARTH_HOST_DEVICE int half_offset(int i) { return i % 16 / 4 * 8 + i / 16 * 4 + i % 4; }

}  // namespace hearth::kernels::simt
