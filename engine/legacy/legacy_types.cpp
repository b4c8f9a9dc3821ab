#include "engine/legacy/legacy_types.h"

namespace hearth {
namespace {

/// Since ggjt 2 half-bytes lie as today, since ggjt 3 scales have 16 bits.
enum class Layout { kPairs, kF32Scales, kCurrent };

Layout layout_of(LegacyContainer container, uint32_t version) {
  if (container != LegacyContainer::kGgjt || version < 2) return Layout::kPairs;
  return version == 2 ? Layout::kF32Scales : Layout::kCurrent;
}

}  // namespace

std::optional<DType> legacy_dtype(LegacyContainer container, uint32_t version, uint32_t type_id) {
  const DTypeInfo* info = type_id < kFirstForeignType ? find_dtype(type_id) : nullptr;
  if (info == nullptr) return std::nullopt;
  const Layout layout = layout_of(container, version);
  if (layout == Layout::kCurrent) return info->dtype;
  switch (info->dtype) {
    case DType::kF32:
    case DType::kF16:
      return info->dtype;
    case DType::kQ4_0:
      return layout == Layout::kPairs ? DType::kQ4_0F32Pairs : DType::kQ4_0F32;
    case DType::kQ4_1:
      return layout == Layout::kPairs ? DType::kQ4_1F32Pairs : DType::kQ4_1F32;
    case DType::kQ8_0:
      return DType::kQ8_0F32;
    case DType::kQ5_0:
    case DType::kQ5_1:
      // Their scales had 16 bits from the start. For two weeks of 2023 their half-bytes lay in
      // pairs: nobody has such files any more.
      if (layout == Layout::kF32Scales) return info->dtype;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace hearth
