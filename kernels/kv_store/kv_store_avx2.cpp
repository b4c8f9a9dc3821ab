#include "kernels/cpu/vec_avx2.h"
#include "kernels/kv_store/kv_store.h"
#include "kernels/quant/quantize_weights.h"

namespace hearth::kernels {
namespace avx2 {
namespace {

void convert_row(DType dtype, const float* src, void* dst, int64_t n) {
  if (dtype != DType::kF16) return quant::quantize_row(dtype, src, dst, n);
  auto* out = static_cast<uint16_t*>(dst);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_f16(out + i, load(src + i));
  if (i < n) quant::quantize_row(dtype, src + i, out + i, n - i);
}

}  // namespace
}  // namespace avx2

void kv_store_avx2(const ExecContext& context, const KvStoreArgs& args) {
  kv_store_with(context, args, avx2::convert_row);
}

}  // namespace hearth::kernels
