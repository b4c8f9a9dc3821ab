#pragma once
// The quantize op: f32 activations to Q8Rows (kernels/kernel_table.h, QuantizeArgs). Every variant
// gives the same bits.
//
// Per block of 32: scale = max|x| / 127 and q = nearest-even(x / scale), both in f32. A scale below
// the smallest normal f32 is too coarse to divide by: such a block is zeros with scale 0. A block
// with an infinity or a NaN gets zeros and a scale that is not finite, so that products with it are
// NaN instead of plausible numbers.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// Proves the shapes of a call; the variants begin with it.
void check_quantize(const QuantizeArgs& args);

void quantize_ref(const ExecContext& context, const QuantizeArgs& args);
/// Needs AVX2.
void quantize_avx2(const ExecContext& context, const QuantizeArgs& args);
/// Needs AVX-512 F, BW, VL and DQ.
void quantize_avx512(const ExecContext& context, const QuantizeArgs& args);

}  // namespace hearth::kernels
