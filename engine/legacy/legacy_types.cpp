#include "engine/legacy/legacy_types.h"

namespace hearth {

std::optional<DType> legacy_dtype(LegacyContainer container, uint32_t version, uint32_t type_id) {
  const auto type = static_cast<DType>(type_id);
  if (type == DType::kF32 || type == DType::kF16) return type;
  const bool is_current = container == LegacyContainer::kGgjt && version >= 3;
  // Q5_0 and Q5_1 had 16-bit scales from the start: they are as today since the half-bytes are.
  const bool is_q5 = type == DType::kQ5_0 || type == DType::kQ5_1;
  if (is_current || (is_q5 && container == LegacyContainer::kGgjt && version == 2)) {
    const DTypeInfo* info = find_dtype(type_id);
    if (info != nullptr) return info->dtype;
  }
  return std::nullopt;
}

}  // namespace hearth
