#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace hearth {

/// The bytes of a small file that a person wrote (settings, keys, a template). kNotFound, kIo, or
/// kTooLarge over `max_bytes`; the message names the path and `param` is passed on.
Result<std::string> read_small_file(const std::string& path, size_t max_bytes,
                                    const std::string& param = {});

}  // namespace hearth
