#pragma once
// Quantization of weights for model files, where quality counts and time is spent once.
//
// A block's scales are searched: candidates are tried in turn, each followed by the least-squares
// scale (and minimum) of the codes it leads to, and the pair of least error is kept. Types with two
// levels of scales then choose the integer scales against the rounded outer ones, and fit the outer
// ones again. quantize_row (quantize_weights.h) is the quick way that takes the extremes as they
// are.

#include <cstdint>

#include "kernels/dtype.h"

namespace hearth::quant {

/// Whether fit_row can write this type: F32, F16, BF16 and every block type of GGUF but those with
/// code books of whole vectors.
bool can_fit(DType dtype);

/// Writes `n` finite f32 values as `dtype` in the layout of the model file, with the scales that
/// bring the weighted squared error down. `n` is a multiple of the type's block size; dst holds
/// row_bytes(dtype, n) bytes. can_fit(dtype) holds. The same result on every machine.
void fit_row(DType dtype, const float* src, void* dst, int64_t n);

}  // namespace hearth::quant
