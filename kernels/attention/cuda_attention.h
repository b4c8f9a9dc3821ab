#pragma once
// What the attention kernels of the device share. Included by .cu files after simt.h.

#include "kernels/cuda/simt.h"
#include "kernels/kernel_table.h"
#include "kernels/kv_store/kv_layout.h"

namespace hearth::kernels::HEARTH_SIMT {

struct AttendArgs {
  AttentionArgs attention;
  KvStrides strides;
  simt::StepTables step;
  int32_t first_row;  // rows of the batch that a launch attends for
  int32_t rows;
  int32_t spans;   // at least those of the longest sequence
  float* partial;  // [rows, heads, spans, head_dim + 2] where spans are shared out: the largest
                   // score, the sum, the values; or null
};

/// The first position that a row at `position` sees.
HEARTH_KERNEL int first_seen(const AttentionArgs& args, int position) {
  int begin = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  if (args.chunk > 0) {
    const int of_chunk = position / args.chunk * args.chunk;
    begin = of_chunk > begin ? of_chunk : begin;
  }
  return begin;
}

/// A score from a dot product with all factors.
HEARTH_KERNEL float capped_score(const AttentionArgs& args, float score) {
  return args.softcap > 0.0F ? args.softcap * tanhf(score / args.softcap) : score;
}

HEARTH_KERNEL float* partial_of(const AttendArgs& args, int64_t row, int head, int span) {
  const AttentionArgs& a = args.attention;
  const int64_t item = (row - args.first_row) * a.num_heads + head;
  return args.partial + (item * args.spans + span) * (a.kv.head_dim + 2);
}

/// Where parts of the spans may go if `ctas` of them do not fill the device well by themselves:
/// scratch memory, or null where they do, where there is one span, or where it does not fit.
inline float* partial_for(const simt::OpContext& op, const AttendArgs& args, int64_t ctas,
                          int64_t enough_ctas) {
  const int64_t items = int64_t{args.rows} * args.attention.num_heads;
  const size_t bytes = static_cast<size_t>(items) * static_cast<size_t>(args.spans) *
                       static_cast<size_t>(args.attention.kv.head_dim + 2) * sizeof(float);
  const bool shared = args.spans > 1 && ctas < enough_ctas && bytes <= op.scratch_bytes;
  return shared ? static_cast<float*>(op.scratch) : nullptr;
}

/// Merges the spans in `partial`, and writes the rows.
void merge_spans(const ExecContext& context, const AttendArgs& args);

/// Attention on the tensor cores. False, and nothing is done, where the type of cache, the size of
/// a head, the pages or the device do not suit them: that depends on nothing else, so that all rows
/// of a model take the same way.
bool tensor_attention(const ExecContext& context, const AttendArgs& args);

}  // namespace hearth::kernels::HEARTH_SIMT
