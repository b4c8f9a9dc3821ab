#include "kernels/cpu/parallel.h"
#include "kernels/matmul/check_jobs.h"
#include "kernels/matmul/matmul.h"
#include "kernels/quant/half.h"
#include "kernels/quant/unpack.h"
#include "kernels/quant/visit.h"

namespace hearth::kernels {
namespace {

float weight_at(DType dtype, const void* row, int64_t i) {
  switch (dtype) {
    case DType::kF32:
      return value_at<float>(row, i);
    case DType::kF16:
      return f16_to_f32(value_at<uint16_t>(row, i));
    default:
      return bf16_to_f32(value_at<uint16_t>(row, i));
  }
}

double dot_float(DType dtype, const void* weight_row, const float* x, int64_t cols) {
  double sum = 0.0;
  for (int64_t i = 0; i < cols; ++i)
    sum += static_cast<double>(weight_at(dtype, weight_row, i)) * static_cast<double>(x[i]);
  return sum;
}

// The dot product of row r of x with one row of weights: integers within each group of 16 values,
// then their scales.
template <typename Block>
double dot_quantized(const void* weight_row, const Q8Rows& x, int64_t r, int64_t cols) {
  const auto* blocks = static_cast<const Block*>(weight_row);
  constexpr int kGroups = quant::kBlockSize<Block> / 32;
  double sum = 0.0;
  for (int64_t group = 0; group < cols / 32; ++group) {
    quant::Group32 unpacked;
    quant::unpack_group(blocks[group / kGroups], static_cast<int>(group % kGroups), unpacked);
    const int8_t* q = x.q + r * cols + group * 32;
    double group_sum = 0.0;
    for (int half = 0; half < 2; ++half) {
      int32_t dot = 0;
      for (int i = half * 16; i < half * 16 + 16; ++i) dot += unpacked.q[i] * q[i];
      const double minimum = unpacked.min[half];
      group_sum += static_cast<double>(unpacked.scale[half]) * dot -
                   minimum * x.sum16[r * (cols / 16) + group * 2 + half];
    }
    sum += group_sum * static_cast<double>(x.scale[r * (cols / 32) + group]);
  }
  return sum;
}

double dot(const WeightView& weight, const void* weight_row, const ActivationView& x, int64_t r) {
  if (matmul_input(weight.dtype) == MatmulInput::kF32)
    return dot_float(weight.dtype, weight_row, x.f32 + r * x.cols, x.cols);
  return quant::visit_block_type(weight.dtype, [&]<typename Block>() {
    return dot_quantized<Block>(weight_row, x.q8, r, x.cols);
  });
}

}  // namespace

void matmul_ref(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
                int num_jobs) {
  check_jobs(x, jobs, num_jobs);
  run_on_pool(context, [&](int index, int threads) {
    for (int j = 0; j < num_jobs; ++j) {
      const MatmulArgs& job = jobs[j];
      const Slice slice = thread_slice(job.weight.rows, 16, index, threads);
      for (int64_t o = slice.begin; o < slice.end; ++o) {
        const void* row = static_cast<const uint8_t*>(job.weight.data) +
                          static_cast<size_t>(o) * job.weight.row_bytes;
        for (int64_t r = 0; r < x.rows; ++r) {
          float& out = job.out[r * job.out_stride + o];
          double sum = dot(job.weight, row, x, r);
          if (job.bias != nullptr) sum += static_cast<double>(job.bias[o]);
          if (job.accumulate) sum += static_cast<double>(out);
          out = static_cast<float>(sum);
        }
      }
    }
  });
}

}  // namespace hearth::kernels
