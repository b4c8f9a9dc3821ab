#pragma once

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// Proves the shapes of a matmul call, and that the input has each form that a job reads.
void check_jobs(const ActivationView& x, const MatmulArgs* jobs, int num_jobs);

}  // namespace hearth::kernels
