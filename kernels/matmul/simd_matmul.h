#pragma once
// The matmul op over an instruction set: jobs and threads to kernels.

#include "kernels/cpu/parallel.h"
#include "kernels/matmul/check_jobs.h"
#include "kernels/matmul/fixed_kernel.h"
#include "kernels/matmul/float_kernel.h"
#include "kernels/matmul/panel_kernel.h"
#include "kernels/matmul/row_kernel.h"
#include "kernels/quant/visit.h"

namespace hearth::kernels::simd {

/// F16 or BF16 weights: in fixed point where the instruction set gains by it.
template <typename Word, typename Isa>
void run_half_job(const FloatTask& task, Slice slice) {
  if constexpr (Isa::kFixedPoint) {
    if (task.cols <= kMostFixedCols) return multiply_fixed<Word, Isa>(task, slice.begin, slice.end);
  }
  multiply_floats<Word, Isa>(task, slice.begin, slice.end);
}

template <typename Isa>
void run_float_job(const ActivationView& x, const MatmulArgs& job, Slice slice) {
  const FloatTask task{static_cast<const uint8_t*>(job.weight.data),
                       job.weight.row_bytes,
                       x.f32,
                       x.rows,
                       x.cols,
                       job.bias,
                       job.accumulate,
                       job.out,
                       job.out_stride};
  switch (job.weight.dtype) {
    case DType::kF32:
      return multiply_floats<float, Isa>(task, slice.begin, slice.end);
    case DType::kF16:
      return run_half_job<F16Word, Isa>(task, slice);
    default:
      return run_half_job<BF16Word, Isa>(task, slice);
  }
}

template <typename Block, typename Isa>
void run_quantized_job(const ActivationView& x, const MatmulArgs& job, Slice slice) {
  const QuantizedTask task{static_cast<const uint8_t*>(job.weight.data),
                           job.weight.row_bytes,
                           &x.q8,
                           x.cols,
                           job.bias,
                           job.accumulate,
                           job.out,
                           job.out_stride};
  if constexpr (kHasRowKernel<Block, Isa>) {
    constexpr int kMost = kRowKernelRows<Block, Isa>;
    if (x.rows <= kMost) {
      return dispatch_rows<kMost>(static_cast<int>(x.rows), [&]<int kRows>() {
        dot_rows<Block, Isa, kRows>(task, 0, slice.begin, slice.end);
      });
    }
  }
  for (int64_t r = 0; r < x.rows; r += kPassRows) {
    const int64_t left = x.rows - r;
    multiply_rows<Block, Isa>(task, r, static_cast<int>(left < kPassRows ? left : kPassRows),
                              slice.begin, slice.end);
  }
}

/// Every thread takes a contiguous range of each job's weight rows, in file order.
template <typename Isa>
void matmul(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
            int num_jobs) {
  check_jobs(x, jobs, num_jobs);
  if (x.rows == 0) return;
  run_on_pool(context, [&](int index, int threads) {
    for (int j = 0; j < num_jobs; ++j) {
      const MatmulArgs& job = jobs[j];
      const Slice slice = thread_slice(job.weight.rows, Isa::kPanels * Isa::kLanes, index, threads);
      if (slice.begin >= slice.end) continue;
      if (matmul_input(job.weight.dtype) == MatmulInput::kF32) {
        run_float_job<Isa>(x, job, slice);
      } else {
        quant::visit_block_type(job.weight.dtype, [&]<typename Block>() {
          run_quantized_job<Block, Isa>(x, job, slice);
        });
      }
    }
  });
}

}  // namespace hearth::kernels::simd
