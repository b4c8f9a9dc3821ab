#pragma once
// What the build makes of config/chat_templates (cmake/EmbedTemplates.cmake).

#include <span>
#include <string_view>

namespace hearth {

struct BuiltinTemplate {
  std::string_view name;
  std::string_view source;
};

/// Sorted by name.
std::span<const BuiltinTemplate> builtin_templates();

}  // namespace hearth
