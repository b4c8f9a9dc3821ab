#pragma once
// What HalfMatmul's formats of weights in blocks share. Included by .cu files after simt.h.

#include "kernels/cuda/simt.h"
#include "kernels/quant/visit.h"

namespace hearth::kernels::HEARTH_SIMT {

template <typename Block>
struct BlockFormat {
  static constexpr int kBlockValues = quant::kBlockSize<Block>;
  static constexpr int kStep = 256;
  static constexpr int kWideStep = kBlockValues == 256 ? 256 : 128;
  static constexpr int kSplitStages = 2;
  static constexpr bool kSwizzled = false;

  template <int kValues>
  static constexpr int weight_bytes() {
    return kValues / kBlockValues * static_cast<int>(sizeof(Block));
  }
  /// Room for the misalignment; an odd number of 16 bytes, so that the 8 rows that a warp reads at
  /// a time lie in different banks.
  template <int kValues>
  static constexpr int weight_pitch() {
    return ((weight_bytes<kValues>() + 15 + 15) / 16 | 1) * 16;
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
