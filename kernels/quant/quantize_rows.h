#pragma once
// The quantize op: f32 activations to Q8Rows (kernels/kernel_table.h, QuantizeArgs). Every variant
// gives the same bits. scale = max|x| / 127 in f32, q = x * (127 / max|x|) in f32 rounded to
// nearest even; where max|x| is below 2^-100 (127 / max|x| would approach the range's end) the
// block is all zeros with scale 0. Values are finite.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void quantize_ref(const ExecContext& context, const QuantizeArgs& args);
/// Needs AVX2.
void quantize_avx2(const ExecContext& context, const QuantizeArgs& args);
/// Needs AVX-512 F, BW, VL and DQ.
void quantize_avx512(const ExecContext& context, const QuantizeArgs& args);

}  // namespace hearth::kernels
