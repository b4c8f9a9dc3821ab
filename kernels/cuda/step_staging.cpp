#include "kernels/cuda/step_staging.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace hearth::kernels {
namespace {

constexpr size_t kAlignment = 16;

size_t padded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Pages of a sequence up to its last row.
size_t pages_of(const SequenceRows& sequence, int32_t page_tokens) {
  const int32_t tokens = sequence.first_position + sequence.row_count;
  return static_cast<size_t>((tokens + page_tokens - 1) / page_tokens);
}

/// The bound of the class of contexts that share a record: powers of two, so that a sequence meets
/// few records however long it gets, and no launch is more than twice as wide as it need be.
int32_t context_class(int32_t tokens) {
  constexpr uint32_t kSmallest = 256;  // the span of positions that attention shares out
  return static_cast<int32_t>(std::max(std::bit_ceil(static_cast<uint32_t>(tokens)), kSmallest));
}

template <typename T>
const T* at(const void* base, size_t offset) {
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(base) + offset);
}

}  // namespace

StepStaging::StepStaging(int64_t rows, int64_t logit_rows, int64_t pages)
    : host_(padded(static_cast<size_t>(rows) * sizeof(simt::RowPlace)) +
            padded(static_cast<size_t>(rows) * sizeof(int32_t)) +
            padded(static_cast<size_t>(logit_rows) * sizeof(int32_t)) +
            padded(static_cast<size_t>(pages) * sizeof(int32_t))) {}

template <typename T>
T* StepStaging::take(size_t& offset, size_t count) {
  offset = used_;
  used_ += padded(count * sizeof(T));
  HEARTH_CHECK(used_ <= host_.size(), "a step is within what the device reserved");
  return reinterpret_cast<T*>(host_.data() + offset);
}

void StepStaging::fill(const StepInput& input) {
  // Pages come last: where the others begin depends on the numbers of rows alone.
  used_ = 0;
  auto* row = take<simt::RowPlace>(row_at_, input.positions.size());
  std::ranges::copy(input.positions, take<int32_t>(positions_at_, input.positions.size()));
  std::ranges::copy(input.logit_rows, take<int32_t>(logit_rows_at_, input.logit_rows.size()));
  step_ = {.sequences = input.sequences.data(),
           .num_sequences = static_cast<int32_t>(input.sequences.size()),
           .rows = static_cast<int32_t>(input.positions.size())};
  size_t num_pages = 0;
  for (const SequenceRows& sequence : input.sequences)
    num_pages += pages_of(sequence, input.page_tokens);
  auto* pages = take<int32_t>(pages_at_, num_pages);
  int32_t first_page = 0;
  int32_t rows = 0;
  for (const SequenceRows& sequence : input.sequences) {
    HEARTH_CHECK(sequence.row_begin == rows, "the sequences' rows follow each other");
    for (int32_t i = 0; i < sequence.row_count; ++i)
      row[rows++] = {sequence.first_position + i, first_page};
    const size_t count = pages_of(sequence, input.page_tokens);
    std::copy_n(sequence.pages, count, pages + first_page);
    first_page += static_cast<int32_t>(count);
    step_.longest = std::max(step_.longest, sequence.first_position + sequence.row_count);
  }
  HEARTH_CHECK(rows == step_.rows, "the sequences' rows are the step's");
  if (input.recorded) step_.longest = context_class(step_.longest);
}

simt::StepTables StepStaging::tables(const void* device) const {
  simt::StepTables step = step_;
  step.row = at<simt::RowPlace>(device, row_at_);
  step.pages = at<int32_t>(device, pages_at_);
  return step;
}

StepPointers StepStaging::pointers(const void* device) const {
  return {.positions = at<int32_t>(device, positions_at_),
          .logit_rows = at<int32_t>(device, logit_rows_at_)};
}

}  // namespace hearth::kernels
