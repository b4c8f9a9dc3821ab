#pragma once

#include <cstdint>
#include <optional>

#include "kernels/dtype.h"

namespace hearth {

enum class LegacyContainer : uint8_t { kGgml, kGgmf, kGgjt };

/// The type that a type id had in a container of that version, or nothing if it is not read: the
/// block layouts changed with ggjt 2 (order of half-bytes) and ggjt 3 (16-bit scales).
std::optional<DType> legacy_dtype(LegacyContainer container, uint32_t version, uint32_t type_id);

}  // namespace hearth
