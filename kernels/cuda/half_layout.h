#pragma once
// The order of HalfRows (kernels/tensor_view.h). C++20: CUDA code includes this header.

#include <cstdint>

#include "kernels/quant/half.h"

namespace hearth::kernels::simt {

/// Where value i of a block of 32 lies. Values 0 to 15 and 16 to 31 are a tensor-core product each,
/// and lie in the order of its k. A lane holds k = 2 quad, + 1, 8 + 2 quad and + 1 of a product:
/// these are values 4 quad, + 2, + 1 and + 3, of four bytes of a quantization block. Every other
/// byte at a time, as one mask leaves them, they are two 16-bit words.
HEARTH_HOST_DEVICE int half_offset(int i) {
  return i / 16 * 16 + i % 2 * 8 + i % 16 / 4 * 2 + i % 4 / 2;
}

}  // namespace hearth::kernels::simt
