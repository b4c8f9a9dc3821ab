#pragma once
// What the sample op's translation units for the device share. Included by .cu files after simt.h.

#include "kernels/sampling/sample_work.h"

namespace hearth::kernels::HEARTH_SIMT {

/// The largest logit of a chunk, in every lane of the warp.
HEARTH_KERNEL float largest_of_chunk(const RowView& row, int chunk) {
  const int end = (chunk + 1) * kSampleChunk;
  float largest = -INFINITY;
  for (int i = chunk * kSampleChunk + simt::lane_index(); i < end && i < row.vocab_size;
       i += simt::kWarp)
    largest = fmaxf(largest, row.logit(i));
  return simt::warp_max(largest);
}

/// What log-probabilities are made of, once a row's token is chosen and its logits are the model's.
void sample_logprobs(const ExecContext& context, const SampleArgs& args);

}  // namespace hearth::kernels::HEARTH_SIMT
