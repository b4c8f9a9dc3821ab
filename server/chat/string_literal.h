#pragma once
// Escapes of string literals.

#include <string>
#include <string_view>

namespace hearth::jinja {

/// Appends `body` (what stands between the quotes) to `out` with Python's escapes replaced.
/// Returns an empty string, or what is wrong with it.
std::string unescape_literal(std::string_view body, std::string& out);

}  // namespace hearth::jinja
