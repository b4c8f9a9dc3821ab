#pragma once

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// Proves the shapes of a matmul call, and that the input has each form that a job reads: f32, or
/// `compact`, the one compact form of the kernels that ask.
void check_jobs(const ActivationView& x, const MatmulArgs* jobs, int num_jobs,
                MatmulInput compact = MatmulInput::kQ8);

}  // namespace hearth::kernels
