#pragma once
// The matmul family (kernels/kernel_table.h, MatmulArgs): weights of any type where they lie in the
// file, times a few or many rows of activations.
//
// Float weights (F32, F16, BF16) read the f32 form of the input. They round nothing, except that
// AVX-512 multiplies F16 and BF16 in fixed point (fixed_kernel.h). All others read Q8Rows: the dot
// product of a quantization group is exact in int32, its scales are applied in f32.
// Each variant reduces an output element in one order of its own, whatever the number of rows,
// jobs and threads; between variants the order differs.
//
// Each job has at least one row of weights, and cols == x.cols. A null ExecContext::pool means the
// caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// The form of the input that the weights' type reads; the same for every variant.
MatmulInput matmul_input(DType weight);

/// Scalar, accumulating in double.
void matmul_ref(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                int num_jobs);
/// Needs AVX2, FMA and F16C.
void matmul_avx2(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                 int num_jobs);
/// Needs AVX-512 F, BW, VL, DQ, VNNI and VBMI, besides AVX2, FMA and F16C.
void matmul_avx512(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                   int num_jobs);
/// Needs AArch64 with dot products of bytes.
void matmul_neon(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                 int num_jobs);

}  // namespace hearth::kernels
