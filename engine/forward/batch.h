#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor_view.h"

namespace hearth {

/// One step's rows: tokens of several sequences, those of one sequence next to each other in order
/// of position. Decode rows and prompt chunks are the same thing.
struct Batch {
  std::vector<int32_t> tokens;                   // [rows]
  std::vector<int32_t> positions;                // [rows]
  std::vector<kernels::SequenceRows> sequences;  // their rows cover the batch
  std::vector<int32_t> logit_rows;               // rows whose logits are wanted, ascending

  void clear() {
    tokens.clear();
    positions.clear();
    sequences.clear();
    logit_rows.clear();
  }

  /// Opens a sequence's rows. `pages` must outlive the step.
  void begin_sequence(int32_t first_position, const int32_t* pages) {
    sequences.push_back({.row_begin = static_cast<int32_t>(tokens.size()),
                         .row_count = 0,
                         .first_position = first_position,
                         .pages = pages});
  }
  /// Adds a row to the sequence opened last.
  void push(int32_t token, bool wants_logits) {
    kernels::SequenceRows& sequence = sequences.back();
    if (wants_logits) logit_rows.push_back(static_cast<int32_t>(tokens.size()));
    tokens.push_back(token);
    positions.push_back(sequence.first_position + sequence.row_count++);
  }
};

}  // namespace hearth
