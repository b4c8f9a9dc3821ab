#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace hearth::quant {

/// Writes `n` elements of `src`, of type `dtype` and in the layout of the model file, to dst as
/// f32. `n` is a multiple of the type's block size. Plain f32 arithmetic, the same on every
/// machine.
void dequantize_row(DType dtype, const void* src, float* dst, int64_t n);

}  // namespace hearth::quant
