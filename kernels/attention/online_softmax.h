#pragma once
// The online softmax of a row and head as the device folds it. Included by .cu files after simt.h.
//
// Positions are cut into *spans* of kSpanTokens. A span is folded tile by tile (32 tokens) into a
// part; parts are merged in the order of positions. Whether one thread walks all spans or many
// share them, the operations on a row's numbers are these, in this order: its bits depend on its q,
// its position and K and V alone.

#include "kernels/cuda/simt.h"

namespace hearth::kernels::HEARTH_SIMT {

inline constexpr int kTileTokens = 32;
inline constexpr int kSpanTokens = 256;

HEARTH_KERNEL float minus_infinity() { return -INFINITY; }

/// The largest score so far, the sum of e^(score - largest), and what a sum made with `from` as the
/// largest is multiplied by to join one made with `to`.
struct SoftmaxState {
  float largest;
  float sum;
};

HEARTH_KERNEL float rescale(float from, float to) {
  return from == minus_infinity() ? 0.0F : expf(from - to);
}

/// Merges `part` into `total`; gives the factors of their weighted values.
struct MergeFactors {
  float total;
  float part;
};

HEARTH_KERNEL MergeFactors merge(SoftmaxState& total, const SoftmaxState& part) {
  const float largest = fmaxf(total.largest, part.largest);
  const MergeFactors factors{rescale(total.largest, largest), rescale(part.largest, largest)};
  total.sum = fmaf(total.sum, factors.total, part.sum * factors.part);
  total.largest = largest;
  return factors;
}

HEARTH_KERNEL float merge_value(const MergeFactors& factors, float total, float part) {
  return fmaf(total, factors.total, part * factors.part);
}

}  // namespace hearth::kernels::HEARTH_SIMT
