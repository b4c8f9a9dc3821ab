#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "kernels/attention/attention.h"
#include "kernels/cpu/parallel.h"
#include "kernels/kv_store/kv_layout.h"
#include "kernels/quant/dequantize.h"

namespace hearth::kernels {
namespace {

// One row and head: the running maximum of the scores, the sum of e^(score - maximum), and the sum
// of V weighted with the same. A larger score scales what was summed before.
struct OnlineSoftmax {
  double maximum = -std::numeric_limits<double>::infinity();
  double sum = 0.0;
  double values[kMaxHeadDim] = {};

  void add(double score, const float* v, int head_dim) {
    if (score > maximum) {
      const double correction = std::exp(maximum - score);
      sum *= correction;
      for (int i = 0; i < head_dim; ++i) values[i] *= correction;
      maximum = score;
    }
    const double weight = std::exp(score - maximum);
    sum += weight;
    for (int i = 0; i < head_dim; ++i) values[i] += weight * v[i];
  }
};

void attend(const AttentionArgs& args, const KvStrides& strides, const SequenceRows& sequence,
            int32_t index, int32_t head) {
  const KvLayerView& kv = args.kv;
  const int32_t head_dim = kv.head_dim;
  const int64_t row = int64_t{sequence.row_begin} + index;
  const int64_t head_offset = int64_t{head} * head_dim;
  const float* q = args.q + row * args.q_stride + head_offset;
  const int32_t kv_head = head / (args.num_heads / kv.num_kv_heads);
  const int32_t position = sequence.first_position + index;
  int32_t begin = args.window > 0 ? std::max(0, position - args.window + 1) : 0;
  if (args.chunk > 0) begin = std::max(begin, position / args.chunk * args.chunk);

  OnlineSoftmax softmax;
  float k[kMaxHeadDim];
  float v[kMaxHeadDim];
  for (int32_t at = begin; at <= position; ++at) {
    const uint8_t* source =
        kv_head_rows(kv, strides, sequence.pages[at / kv.page_tokens], kv_head) +
        static_cast<size_t>(at % kv.page_tokens) * strides.row_bytes;
    quant::dequantize_row(kv.dtype, source, k, head_dim);
    quant::dequantize_row(kv.dtype, source + strides.v_offset, v, head_dim);
    double score = 0.0;
    for (int i = 0; i < head_dim; ++i) score += static_cast<double>(q[i]) * k[i];
    score *= static_cast<double>(args.scale);
    if (args.softcap > 0.0F) score = args.softcap * std::tanh(score / args.softcap);
    softmax.add(score, v, head_dim);
  }
  if (args.sinks != nullptr) {
    for (float& value : v) value = 0.0F;
    softmax.add(args.sinks[head], v, head_dim);
  }
  float* out = args.out + row * args.out_stride + head_offset;
  for (int i = 0; i < head_dim; ++i) out[i] = static_cast<float>(softmax.values[i] / softmax.sum);
}

}  // namespace

void attention_ref(const ExecContext& context, const AttentionArgs& args) {
  HEARTH_CHECK(args.num_heads % args.kv.num_kv_heads == 0, "query heads are groups of a KV head");
  HEARTH_CHECK(args.kv.head_dim <= kMaxHeadDim, "the head is wider than any model's");
  const KvStrides strides = kv_strides(args.kv);
  for (int32_t s = 0; s < args.num_sequences; ++s) {
    const SequenceRows& sequence = args.sequences[s];
    const int64_t items = int64_t{sequence.row_count} * args.num_heads;
    const int64_t depth = int64_t{sequence.first_position} + sequence.row_count;
    for_each_slice(context, items, depth * args.kv.head_dim, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item)
        attend(args, strides, sequence, static_cast<int32_t>(item / args.num_heads),
               static_cast<int32_t>(item % args.num_heads));
    });
  }
}

}  // namespace hearth::kernels
