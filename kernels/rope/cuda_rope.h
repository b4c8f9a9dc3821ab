#pragma once
// A rotary pair on the device. Included by .cu files after simt.h.

#include "kernels/cuda/simt.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Rotates pair `i` of `head`, a head of row `row`.
HEARTH_KERNEL void rotate_pair(const RopeArgs& args, int64_t row, int i, float* head) {
  const bool halves = args.style == RopeStyle::kHalves;
  float& a = head[halves ? i : 2 * i];
  float& b = head[halves ? i + args.rotary_dim / 2 : 2 * i + 1];
  const float cosine = args.table[row * args.rotary_dim + 2 * i];
  const float sine = args.table[row * args.rotary_dim + 2 * i + 1];
  const float rotated_a = fmaf(a, cosine, -(b * sine));
  const float rotated_b = fmaf(a, sine, b * cosine);
  a = rotated_a;
  b = rotated_b;
}

}  // namespace hearth::kernels::HEARTH_SIMT
