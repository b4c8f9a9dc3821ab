#pragma once
// What the matmul's translation units for the device share. Included by .cu files after simt.h.

#include "kernels/kernel_table.h"
#include "kernels/matmul/matmul_place.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Fills in x, and launches; one function for each set of types.
void launch_quantized(const ExecContext& context, DType type, TensorMatmulArgs args,
                      const ActivationView& x);
void launch_quantized_32(const ExecContext& context, DType type, const TensorMatmulArgs& args);
void launch_quantized_256(const ExecContext& context, DType type, const TensorMatmulArgs& args);
void launch_quantized_rare(const ExecContext& context, DType type, const TensorMatmulArgs& args);

/// F32, F16 and BF16 weights.
void launch_float(const ExecContext& context, DType type, TensorMatmulArgs args,
                  const ActivationView& x);

}  // namespace hearth::kernels::HEARTH_SIMT
