#pragma once

#include <cstdint>
#include <string_view>

namespace hearth {

/// GGUF's name of a tensor type id, for messages about types that kernels/dtype.h does not have;
/// "unknown" if GGUF has none.
std::string_view tensor_type_name(uint32_t type_id);

}  // namespace hearth
