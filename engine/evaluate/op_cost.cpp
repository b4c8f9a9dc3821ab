#include "engine/evaluate/op_cost.h"

#include <algorithm>
#include <cstdint>

namespace hearth {
namespace {

using kernels::Arithmetic;
using kernels::MatmulInput;
using kernels::WeightView;

/// Bytes of `rows` x `cols` floats.
double floats(int64_t rows, int64_t cols = 1) {
  return static_cast<double>(sizeof(float)) * static_cast<double>(rows) * static_cast<double>(cols);
}

double weight_bytes(const WeightView& weight) {
  return static_cast<double>(weight.row_bytes) * static_cast<double>(weight.rows);
}

/// Bytes of the rows of a matmul's input: int8 and a scale for each 32, or f32.
double input_bytes(int64_t rows, int64_t cols, MatmulInput input) {
  return input == MatmulInput::kQ8 ? floats(rows, cols) * (1.0 + 4.0 / 32.0) / 4.0
                                   : floats(rows, cols);
}

/// The fastest that this machine has for a weight of this type.
Arithmetic arithmetic_of(DType weight, MatmulInput input) {
  if (input == MatmulInput::kQ8) return Arithmetic::kInt8;
  return weight == DType::kF32 ? Arithmetic::kF32 : Arithmetic::kInt16;
}

double products(const WeightView& weight, int64_t rows) {
  return 2.0 * static_cast<double>(weight.rows) * static_cast<double>(weight.cols) *
         static_cast<double>(rows);
}

/// The first position that a row at `position` sees.
int32_t oldest_seen(const kernels::AttentionArgs& args, int32_t position) {
  int32_t oldest = args.window > 0 ? std::max(0, position - args.window + 1) : 0;
  if (args.chunk > 0) oldest = std::max(oldest, position / args.chunk * args.chunk);
  return oldest;
}

}  // namespace

OpCost cost_of(const kernels::EmbedArgs& args) {
  return {.bytes = static_cast<double>(args.table.row_bytes) * static_cast<double>(args.rows) +
                   floats(args.rows, args.table.cols)};
}

OpCost cost_of(const kernels::RmsNormArgs& args) {
  return {.bytes = 2.0 * floats(args.rows, args.cols)};
}

OpCost cost_of(const kernels::LayerNormArgs& args) {
  return {.bytes = 2.0 * floats(args.rows, args.cols)};
}

OpCost cost_of(const kernels::QuantizeArgs& args) {
  return {.bytes =
              floats(args.rows, args.cols) + input_bytes(args.rows, args.cols, MatmulInput::kQ8)};
}

OpCost cost_of(const kernels::RopeTableArgs& args) {
  return {.bytes = floats(args.rows, args.rotary_dim)};
}

OpCost cost_of(const kernels::RopeArgs& args) {
  return {.bytes = 2.0 * floats(args.rows * args.num_heads, args.rotary_dim) +
                   floats(args.rows, args.rotary_dim)};
}

OpCost cost_of(const kernels::KvStoreArgs& args) {
  int64_t rows = 0;
  for (int32_t s = 0; s < args.num_sequences; ++s) rows += args.sequences[s].row_count;
  const int64_t heads = 2 * rows * args.kv.num_kv_heads;
  return {.bytes = floats(heads, args.kv.head_dim) +
                   static_cast<double>(heads) *
                       static_cast<double>(row_bytes(args.kv.dtype, args.kv.head_dim))};
}

OpCost cost_of(const kernels::AttentionArgs& args) {
  const kernels::KvLayerView& kv = args.kv;
  double rows = 0.0;
  double pairs = 0.0;   // of a row and a token that it sees
  double tokens = 0.0;  // that are read
  for (int32_t s = 0; s < args.num_sequences; ++s) {
    const kernels::SequenceRows& sequence = args.sequences[s];
    for (int32_t i = 0; i < sequence.row_count; ++i) {
      const int32_t position = sequence.first_position + i;
      pairs += position + 1 - oldest_seen(args, position);
    }
    rows += sequence.row_count;
    tokens +=
        sequence.first_position + sequence.row_count - oldest_seen(args, sequence.first_position);
  }
  const double q_size = static_cast<double>(args.num_heads) * kv.head_dim;
  const double kv_bytes =
      2.0 * tokens * kv.num_kv_heads * static_cast<double>(row_bytes(kv.dtype, kv.head_dim));
  return {.bytes = kv_bytes + 2.0 * sizeof(float) * rows * q_size,
          .cold_bytes = kv_bytes,
          .operations = 4.0 * pairs * q_size,
          .arithmetic = kv.dtype == DType::kF32 ? Arithmetic::kF32 : Arithmetic::kInt16};
}

OpCost cost_of(const kernels::ActivateArgs& args) {
  return {.bytes = (args.up == nullptr ? 2.0 : 3.0) * floats(args.rows, args.cols)};
}

OpCost cost_of(const kernels::ScaleArgs& args) { return {.bytes = 2.0 * floats(args.count)}; }

OpCost cost_of(const kernels::AddArgs& args) { return {.bytes = 3.0 * floats(args.count)}; }

OpCost cost_of(const kernels::RouteArgs& args) {
  return {.bytes = floats(args.rows, args.experts) + 4.0 * floats(args.rows, args.used)};
}

OpCost cost_of(const kernels::GatherArgs& args) {
  return {.bytes = 2.0 * floats(args.slots, args.cols)};
}

OpCost cost_of(const kernels::CombineArgs& args) {
  return {.bytes = floats(args.rows * args.used, args.cols) +
                   (args.accumulate ? 2.0 : 1.0) * floats(args.rows, args.cols)};
}

OpCost cost_of(const kernels::ActivationView& x, std::span<const kernels::MatmulArgs> jobs,
               MatmulInput input) {
  if (jobs.empty()) return {};
  OpCost cost{.bytes = input_bytes(x.rows, x.cols, input),
              .arithmetic = arithmetic_of(jobs.front().weight.dtype, input)};
  for (const kernels::MatmulArgs& job : jobs) {
    cost.cold_bytes += weight_bytes(job.weight);
    cost.bytes += (job.accumulate ? 2.0 : 1.0) * floats(x.rows, job.weight.rows);
    cost.operations += products(job.weight, x.rows);
  }
  cost.bytes += cost.cold_bytes;
  return cost;
}

OpCost cost_of(const kernels::ActivationView& x, const kernels::ExpertMatmulArgs& args,
               MatmulInput input) {
  const WeightView& first = args.weights[0];
  OpCost cost{.bytes = input_bytes(x.rows, x.cols, input) + floats(x.rows, first.rows),
              .operations = products(first, x.rows),
              .arithmetic = arithmetic_of(first.dtype, input)};
  for (int32_t e = 0; e < args.experts; ++e)
    if (args.begin[e] < args.begin[e + 1]) cost.cold_bytes += weight_bytes(args.weights[e]);
  cost.bytes += cost.cold_bytes;
  return cost;
}

}  // namespace hearth
