#include "kernels/quant/dequantize.h"

#include <cstring>

#include "kernels/quant/unpack.h"
#include "kernels/quant/visit.h"

namespace hearth::quant {
namespace {

template <typename Block>
void dequantize_blocks(const void* src, float* dst, int64_t n) {
  const auto* blocks = static_cast<const Block*>(src);
  constexpr int kGroups = kBlockSize<Block> / 32;
  for (int64_t group = 0; group < n / 32; ++group) {
    Group32 unpacked;
    unpack_group(blocks[group / kGroups], static_cast<int>(group % kGroups), unpacked);
    float* out = dst + group * 32;
    for (int i = 0; i < 32; ++i)
      out[i] = unpacked.scale[i / 16] * static_cast<float>(unpacked.q[i]) - unpacked.min[i / 16];
  }
}

}  // namespace

void dequantize_row(DType dtype, const void* src, float* dst, int64_t n) {
  HEARTH_CHECK(n % dtype_info(dtype).block_size == 0, "a row is whole blocks");
  switch (dtype) {
    case DType::kF32:
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) dst[i] = f16_to_f32(value_at<uint16_t>(src, i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < n; ++i) dst[i] = bf16_to_f32(value_at<uint16_t>(src, i));
      return;
    default:
      visit_block_type(dtype, [&]<typename Block>() { dequantize_blocks<Block>(src, dst, n); });
  }
}

}  // namespace hearth::quant
