#include "kernels/quant/fit_weights.h"

#include "base/check.h"
#include "kernels/quant/fit_blocks.h"
#include "kernels/quant/quantize_weights.h"
#include "kernels/quant/visit.h"

namespace hearth::quant {
namespace {

template <typename Block>
void fit_blocks(const float* src, void* dst, int64_t n) {
  auto* blocks = static_cast<Block*>(dst);
  constexpr int kValues = kBlockSize<Block>;
  for (int64_t i = 0; i < n / kValues; ++i) fit_block(src + i * kValues, blocks[i]);
}

/// Nothing is to be gained for floats, and next to nothing at 8 bits.
bool is_fitted(DType dtype) {
  return dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16 &&
         dtype != DType::kQ8_0;
}

}  // namespace

bool can_fit(DType dtype) {
  return !is_fitted(dtype) || visit_block_type(dtype, []<typename Block>() {
    return requires(const float* x, Block& block) { fit_block(x, block); };
  });
}

void fit_row(DType dtype, const float* src, void* dst, int64_t n) {
  HEARTH_CHECK(n % dtype_info(dtype).block_size == 0, "a row is whole blocks");
  if (!is_fitted(dtype)) return quantize_row(dtype, src, dst, n);
  visit_block_type(dtype, [&]<typename Block>() {
    if constexpr (requires(const float* x, Block& block) { fit_block(x, block); })
      fit_blocks<Block>(src, dst, n);
    else
      HEARTH_CHECK(false, "no quantizer for this type");
  });
}

}  // namespace hearth::quant
