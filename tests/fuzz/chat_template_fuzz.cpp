// Bytes: a template, and after the first NUL the JSON object it is rendered with.

#include <cstddef>
#include <cstdint>
#include <string>

#include "server/chat/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  size_t nul = text.find('\0');
  auto context = hearth::OrderedJson::object();
  if (nul != std::string::npos) {
    auto parsed = hearth::OrderedJson::parse(text.substr(nul + 1), nullptr, false);
    if (parsed.is_object()) context = parsed;
    text.resize(nul);
  }
  context["messages"] = {{{"role", "user"}, {"content", "Hi"}}, {{"role", "a"}, {"content", "B"}}};
  hearth::TemplateLimits limits;
  limits.max_steps = 50'000;
  limits.max_output_bytes = 1U << 20;
  auto parsed = hearth::ChatTemplate::parse(text, limits);
  if (parsed.has_value()) (void)parsed->render_context(context, 1'700'000'000);
  return 0;
}
