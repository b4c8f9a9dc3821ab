#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace hearth::quant {

/// The GGUF type of the same codes: Q4_0 for the Q4_0 of early 2023. Other types are their own.
DType gguf_dtype(DType dtype);

/// Writes `n` values of a block layout of early 2023 as gguf_dtype(dtype). Codes are kept; scales
/// and minima are rounded to f16, so values differ by less than one part in 2,000. False, and the
/// row not complete, if a scale is too large for f16. `dtype` is such a layout.
bool write_legacy_row(DType dtype, const void* src, void* dst, int64_t n);

}  // namespace hearth::quant
