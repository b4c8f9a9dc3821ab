#pragma once
// Steps of decode rows alone, in few sizes: so that a device can replay the launches of an earlier
// step of the same size.

#include "engine/forward/batch.h"

namespace hearth {

/// Whether each row of the batch is the one row of its sequence, and its logits are wanted.
bool is_plain_decode(const Batch& batch);

/// Rows of the smallest size that holds `rows`, at most `most`: up to 8 every number (each row
/// costs a batch that small), to 64 every eighth, then every 32nd.
int32_t decode_bucket(int32_t rows, int32_t most);

/// Makes `padded` the batch with its last row repeated up to `rows`. A repeated row computes what
/// the row computes, bit for bit (rule 3), and stores it where the row stores it: it changes
/// nothing, and reads no page and no expert that is not read anyway.
void pad_batch(const Batch& batch, int32_t rows, Batch& padded);

}  // namespace hearth
