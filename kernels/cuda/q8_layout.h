#pragma once
// Int8 activations in device memory. C++20: CUDA code includes this header.

#include <cstdint>

#include "kernels/quant/half.h"

namespace hearth::kernels::simt {

/// Where value i of a block of 32 lies: the 8 values that one lane of a tensor-core product takes
/// (4 quad … + 3 and 16 + 4 quad … + 3) are next to each other, so that it loads them at once.
HEARTH_HOST_DEVICE int q8_offset(int i) { return i % 16 / 4 * 8 + i / 16 * 4 + i % 4; }

}  // namespace hearth::kernels::simt
