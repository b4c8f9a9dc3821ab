#pragma once
// The order of HalfRows (kernels/tensor_view.h). C++20: CUDA code includes this header.

#include <cstdint>

#include "kernels/quant/half.h"

namespace hearth::kernels::simt {

/// Where value i of a block of 32 lies. Values 0 to 15 and 16 to 31 are a tensor-core product each,
/// and lie in the order of its k: a lane holds k = 2 quad, + 1, 8 + 2 quad and + 1 of a product,
/// and these are values 4 quad … + 3, which it takes from four bytes of a quantization block.
HEARTH_HOST_DEVICE int half_offset(int i) {
  return i / 16 * 16 + i % 4 / 2 * 8 + i % 16 / 4 * 2 + i % 2;
}

}  // namespace hearth::kernels::simt
