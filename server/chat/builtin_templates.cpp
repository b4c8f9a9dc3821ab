// The built-in templates: config/chat_templates/*.jinja, embedded when the program is built.

#include "server/chat/builtin_templates.h"

#include <algorithm>

#include "server/chat/chat_template.h"

namespace hearth {

std::vector<std::string> builtin_chat_template_names() {
  std::vector<std::string> names;
  for (const BuiltinTemplate& entry : builtin_templates()) names.emplace_back(entry.name);
  return names;
}

Result<std::string> builtin_chat_template(std::string_view name) {
  for (const BuiltinTemplate& entry : builtin_templates()) {
    if (entry.name == name) return std::string(entry.source);
  }
  std::string known;
  for (const BuiltinTemplate& entry : builtin_templates()) {
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  return fail(ErrorCode::kNotFound,
              "no built-in chat template '" + std::string(name) + "'; there are: " + known,
              "chat_template");
}

}  // namespace hearth
