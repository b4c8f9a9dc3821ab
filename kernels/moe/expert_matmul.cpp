#include "base/check.h"
#include "kernels/cpu/parallel.h"
#include "kernels/matmul/matmul.h"
#include "kernels/moe/moe.h"

namespace hearth::kernels {
namespace {

using Matmul = void (*)(const ExecContext&, const ActivationView&, const MatmulArgs*, int);

// Rows of a matrix that a thread takes at least: two vectors of outputs of the widest variant.
constexpr int64_t kGrain = 32;

/// The slots [begin, end) of x.
ActivationView slots_of(const ActivationView& x, int64_t begin, int64_t end) {
  ActivationView view;
  view.rows = end - begin;
  view.cols = x.cols;
  if (x.f32 != nullptr) view.f32 = x.f32 + begin * x.cols;
  if (x.q8.q != nullptr) {
    view.q8 = {.q = x.q8.q + begin * x.cols,
               .scale = x.q8.scale + begin * (x.cols / 32),
               .sum16 = x.q8.sum16 + begin * (x.cols / 16)};
  }
  return view;
}

/// Rows `slice` of the weights of expert e, as a job of its own.
MatmulArgs job_of(const ExpertMatmulArgs& args, int32_t e, Slice slice) {
  const WeightView& weight = args.weights[e];
  MatmulArgs job{.weight = weight, .out_stride = weight.rows};
  job.weight.data = static_cast<const uint8_t*>(weight.data) +
                    static_cast<size_t>(slice.begin) * weight.row_bytes;
  job.weight.rows = slice.end - slice.begin;
  if (args.bias != nullptr) job.bias = args.bias + e * weight.rows + slice.begin;
  job.out = args.out + args.begin[e] * weight.rows + slice.begin;
  return job;
}

void expert_matmul_with(Matmul matmul, const ExecContext& context, const ActivationView& x,
                        const ExpertMatmulArgs& args) {
  HEARTH_CHECK(args.begin[args.experts] == x.rows, "every slot belongs to an expert");
  run_on_pool(context, [&](int index, int threads) {
    for (int32_t e = 0; e < args.experts; ++e) {
      if (args.begin[e] == args.begin[e + 1]) continue;
      const Slice slice = thread_slice(args.weights[e].rows, kGrain, index, threads);
      if (slice.begin >= slice.end) continue;
      const MatmulArgs job = job_of(args, e, slice);
      matmul({}, slots_of(x, args.begin[e], args.begin[e + 1]), &job, 1);
    }
  });
}

}  // namespace

void expert_matmul_ref(const ExecContext& context, const ActivationView& x,
                       const ExpertMatmulArgs& args) {
  expert_matmul_with(matmul_ref, context, x, args);
}

#if defined(__x86_64__)
void expert_matmul_avx2(const ExecContext& context, const ActivationView& x,
                        const ExpertMatmulArgs& args) {
  expert_matmul_with(matmul_avx2, context, x, args);
}

void expert_matmul_avx512(const ExecContext& context, const ActivationView& x,
                          const ExpertMatmulArgs& args) {
  expert_matmul_with(matmul_avx512, context, x, args);
}
#elif defined(__aarch64__)
void expert_matmul_neon(const ExecContext& context, const ActivationView& x,
                        const ExpertMatmulArgs& args) {
  expert_matmul_with(matmul_neon, context, x, args);
}
#endif

}  // namespace hearth::kernels
