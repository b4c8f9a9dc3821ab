#include "engine/forward/decode_bucket.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_math.h"

namespace hearth {

bool is_plain_decode(const Batch& batch) {
  return !batch.tokens.empty() && batch.sequences.size() == batch.tokens.size() &&
         batch.logit_rows.size() == batch.tokens.size();
}

int32_t decode_bucket(int32_t rows, int32_t most) {
  HEARTH_CHECK(rows > 0 && rows <= most, "no more rows than sequences");
  const int32_t step = rows <= 8 ? 1 : rows <= 64 ? 8 : 32;
  return std::min(ceil_div(rows, step) * step, most);
}

void pad_batch(const Batch& batch, int32_t rows, Batch& padded) {
  HEARTH_CHECK(is_plain_decode(batch), "decode rows alone are padded");
  const auto size = static_cast<size_t>(rows);
  padded = batch;
  padded.tokens.resize(size, batch.tokens.back());
  padded.positions.resize(size, batch.positions.back());
  padded.sequences.resize(size, batch.sequences.back());
  padded.logit_rows.resize(size);
  for (int32_t i = 0; i < rows; ++i) {
    padded.sequences[static_cast<size_t>(i)].row_begin = i;
    padded.logit_rows[static_cast<size_t>(i)] = i;
  }
}

}  // namespace hearth
