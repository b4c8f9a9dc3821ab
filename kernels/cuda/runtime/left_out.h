#pragma once
// HEARTH_GPU_WITHOUT: what compute capability 9.0 alone can do, left out to measure it or to find a
// fault (docs/gpu.md).

#include <string_view>

#include "base/result.h"

namespace hearth::kernels {

struct LeftOut {
  bool warpgroups = false;  // products of warpgroups (kernels/cuda/warpgroup.h)
  bool overlap = false;     // launches that overlap (kernels/cuda/simt.h)
};

/// Of "warpgroups,overlap", either or "". kInvalidArgument names what is neither.
Result<LeftOut> parse_left_out(std::string_view text);

}  // namespace hearth::kernels
