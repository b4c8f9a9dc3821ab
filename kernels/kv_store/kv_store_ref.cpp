#include "kernels/cpu/parallel.h"
#include "kernels/kv_store/kv_layout.h"
#include "kernels/kv_store/kv_store.h"
#include "kernels/quant/quantize_weights.h"

namespace hearth::kernels {
namespace {

void store_row(const KvStoreArgs& args, const KvStrides& strides, const SequenceRows& sequence,
               int32_t index, KvConvert convert) {
  const KvLayerView& kv = args.kv;
  const int64_t row = int64_t{sequence.row_begin} + index;
  const int32_t position = sequence.first_position + index;
  const int32_t page = sequence.pages[position / kv.page_tokens];
  const size_t slot = static_cast<size_t>(position % kv.page_tokens) * strides.row_bytes;
  for (int32_t head = 0; head < kv.num_kv_heads; ++head) {
    uint8_t* to = kv_head_rows(kv, strides, page, head) + slot;
    const int64_t from = int64_t{head} * kv.head_dim;
    convert(kv.dtype, args.k + row * args.k_stride + from, to, kv.head_dim);
    convert(kv.dtype, args.v + row * args.v_stride + from, to + strides.v_offset, kv.head_dim);
  }
}

}  // namespace

void kv_store_with(const ExecContext& context, const KvStoreArgs& args, KvConvert convert) {
  const KvStrides strides = kv_strides(args.kv);
  const int64_t work = int64_t{2} * args.kv.num_kv_heads * args.kv.head_dim;
  // Rows of all sequences, one after the other, are what the pool shares out.
  int64_t rows = 0;
  for (int32_t s = 0; s < args.num_sequences; ++s) rows += args.sequences[s].row_count;
  for_each_slice(context, rows, work, [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // number of the sequence's first row among all
    for (int32_t s = 0; s < args.num_sequences && first < end; ++s) {
      const SequenceRows& sequence = args.sequences[s];
      for (int32_t i = 0; i < sequence.row_count; ++i)
        if (first + i >= begin && first + i < end) store_row(args, strides, sequence, i, convert);
      first += sequence.row_count;
    }
  });
}

void kv_store_ref(const ExecContext& context, const KvStoreArgs& args) {
  kv_store_with(context, args, quant::quantize_row);
}

}  // namespace hearth::kernels
