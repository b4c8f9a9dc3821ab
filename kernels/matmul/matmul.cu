// The matmul ops of the device: jobs of one type of weights become one launch.
#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/matmul/check_jobs.h"
#include "kernels/matmul/cuda_matmul.h"
#include "kernels/matmul/matmul.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

void launch(const ExecContext& context, DType type, const TensorMatmulArgs& args,
            const ActivationView& x) {
  if (dtype_info(type).block_size == 1) {
    launch_float(context, type, args, x);
  } else {
    launch_quantized(context, type, args, x);
  }
}

TensorMatmulArgs args_for(const ActivationView& x, const WeightView& weight) {
  HEARTH_CHECK(x.rows <= INT32_MAX && x.cols <= INT32_MAX, "a matmul's shape is within 2^31");
  TensorMatmulArgs args;
  args.cols = static_cast<int32_t>(x.cols);
  args.rows = static_cast<int32_t>(x.rows);
  args.weight_row_bytes = static_cast<int64_t>(weight.row_bytes);
  return args;
}

TensorJob job_for(const WeightView& weight, const float* bias, float* out, int64_t out_stride,
                  bool accumulate) {
  return {.weight = static_cast<const uint8_t*>(weight.data),
          .bias = bias,
          .out = out,
          .out_stride = out_stride,
          .outputs = static_cast<int32_t>(weight.rows),
          .accumulate = accumulate};
}

}  // namespace

MatmulInput matmul_input(DType weight) {
  if (weight == DType::kF16) return MatmulInput::kOrderedHalf;
  return kernels::matmul_input(weight) == MatmulInput::kF32 ? MatmulInput::kF32
                                                            : MatmulInput::kHalf;
}

void matmul(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
            int num_jobs) {
  check_jobs(x, jobs, num_jobs, MatmulInput::kHalf);
  for (int begin = 0; begin < num_jobs;) {
    const WeightView& first = jobs[begin].weight;
    TensorMatmulArgs args = args_for(x, first);
    int end = begin;
    while (end < num_jobs && end - begin < kMostJobs && jobs[end].weight.dtype == first.dtype &&
           jobs[end].weight.row_bytes == first.row_bytes) {
      const MatmulArgs& job = jobs[end];
      args.jobs[end - begin] =
          job_for(job.weight, job.bias, job.out, job.out_stride, job.accumulate);
      ++end;
    }
    args.num_jobs = end - begin;
    launch(context, first.dtype, args, x);
    begin = end;
  }
}

void expert_matmul(const ExecContext& context, const ActivationView& x,
                   const ExpertMatmulArgs& moe) {
  const WeightView& first = moe.weights[0];
  const MatmulArgs shape{.weight = first, .out_stride = first.rows};
  check_jobs(x, &shape, 1, MatmulInput::kHalf);
  TensorMatmulArgs args = args_for(x, first);
  const auto* base = static_cast<const uint8_t*>(first.data);
  if (moe.experts > 1) args.expert_bytes = static_cast<const uint8_t*>(moe.weights[1].data) - base;
  for (int32_t e = 0; e < moe.experts; ++e)
    HEARTH_CHECK(moe.weights[e].data == base + e * args.expert_bytes,
                 "experts' weights lie at equal distances");
  HEARTH_CHECK(args.expert_bytes % static_cast<int64_t>(dtype_info(first.dtype).block_bytes) == 0,
               "experts' weights are whole blocks");
  args.jobs[0] = job_for(first, moe.bias, moe.out, first.rows, false);
  args.num_jobs = 1;
  args.begin = moe.begin;
  args.experts = moe.experts;
  launch(context, first.dtype, args, x);
}

}  // namespace hearth::kernels::HEARTH_SIMT
