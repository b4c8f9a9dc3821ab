#pragma once
// The quantize op: f32 activations to Q8Rows (kernels/kernel_table.h, QuantizeArgs). Every variant
// gives the same bits.
//
// Per block of 32: with y = x / max|x|, the codes are q = nearest-even(y * steps) for the one of
// kCodeSteps whose line through the origin fits x best, and scale = max|x| * (y.q / q.q), the least
// squares slope. Trying four grids instead of one takes 16 % off the squared error (the rounding
// errors of a block differ from grid to grid), for 2 % of a prompt's time.
//
// All in f32, in one order: y.q is summed as 16 lanes y[i] q[i] + y[i+16] q[i+16], folded in
// halves; q.q is exact. A block whose max|x| / 127 is below the smallest normal f32 is zeros with
// scale 0. A block with an infinity or a NaN gets zeros and a scale that is not finite, so that
// products with it are NaN instead of plausible numbers.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// Largest codes of the grids that are tried, best first among equals.
inline constexpr float kCodeSteps[] = {127.0F, 126.0F, 125.0F, 124.0F};

/// Proves the shapes of a call; the variants begin with it.
void check_quantize(const QuantizeArgs& args);

void quantize_ref(const ExecContext& context, const QuantizeArgs& args);
/// Needs AVX2.
void quantize_avx2(const ExecContext& context, const QuantizeArgs& args);
/// Needs AVX-512 F, BW, VL and DQ.
void quantize_avx512(const ExecContext& context, const QuantizeArgs& args);
/// For AArch64.
void quantize_neon(const ExecContext& context, const QuantizeArgs& args);

}  // namespace hearth::kernels
