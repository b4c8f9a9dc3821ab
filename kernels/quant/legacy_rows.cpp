#include "kernels/quant/legacy_rows.h"

#include <cmath>
#include <type_traits>

#include "base/check.h"
#include "kernels/quant/visit.h"

namespace hearth::quant {
namespace {

/// The block of GGUF with the same codes.
template <typename Block>
using GgufBlock = std::conditional_t<
    Block::kType == DType::kQ8_0F32, BlockQ8_0,
    std::conditional_t<Block::kType == DType::kQ4_0F32 || Block::kType == DType::kQ4_0F32Pairs,
                       BlockQ4_0, BlockQ4_1>>;

template <typename Block>
bool write_block(const Block& from, GgufBlock<Block>& to) {
  Group32 group;
  unpack_group(from, 0, group);
  to.d = f32_to_f16(group.scale[0]);
  if constexpr (requires { to.m; }) {
    to.m = f32_to_f16(-group.min[0]);
    if (!std::isfinite(f16_to_f32(to.m))) return false;
  }
  for (int i = 0; i < 32; ++i) {
    if constexpr (Block::kType == DType::kQ8_0F32) {
      to.qs[i] = group.q[i];
    } else {
      const int code = group.q[i] + (GgufBlock<Block>::kType == DType::kQ4_0 ? 8 : 0);
      uint8_t& byte = to.qs[i % 16];
      byte = static_cast<uint8_t>(i < 16 ? code : byte | (code << 4));
    }
  }
  return std::isfinite(f16_to_f32(to.d));
}

template <typename Block>
constexpr bool kIsLegacy = static_cast<uint32_t>(Block::kType) >= kFirstForeignType;

}  // namespace

DType gguf_dtype(DType dtype) {
  if (static_cast<uint32_t>(dtype) < kFirstForeignType) return dtype;
  return visit_block_type(dtype, []<typename Block>() { return GgufBlock<Block>::kType; });
}

bool write_legacy_row(DType dtype, const void* src, void* dst, int64_t n) {
  HEARTH_CHECK(n % dtype_info(dtype).block_size == 0, "a row is whole blocks");
  return visit_block_type(dtype, [&]<typename Block>() {
    if constexpr (kIsLegacy<Block>) {
      const auto* from = static_cast<const Block*>(src);
      auto* to = static_cast<GgufBlock<Block>*>(dst);
      for (int64_t i = 0; i < n / 32; ++i)
        if (!write_block(from[i], to[i])) return false;
      return true;
    } else {
      HEARTH_CHECK(false, "not a layout of early 2023");
      return false;
    }
  });
}

}  // namespace hearth::quant
