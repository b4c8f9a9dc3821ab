#pragma once
// What kernels that norm heads share with the norms. Included by .cu files after simt.h.

#include "kernels/cuda/simt.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Rows up to this long are a warp's: heads are, streams are not. Lane l sums values l, l + 32, …
inline constexpr int64_t kWarpNormCols = 512;

/// What RMSNorm multiplies a row by whose squares add up to `squares`.
HEARTH_KERNEL float rms_scale(float squares, int64_t cols, float eps) {
  return 1.0F / sqrtf(squares / static_cast<float>(cols) + eps);
}

}  // namespace hearth::kernels::HEARTH_SIMT
