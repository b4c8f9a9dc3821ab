#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace hearth::quant {

/// Whether quantize_row can write this type: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1.
bool can_quantize(DType dtype);

/// Writes `n` finite f32 values as `dtype`, rounded to nearest, in the layout of the model file.
/// `n` is a multiple of the type's block size; dst holds row_bytes(dtype, n) bytes.
/// can_quantize(dtype) holds.
void quantize_row(DType dtype, const float* src, void* dst, int64_t n);

}  // namespace hearth::quant
