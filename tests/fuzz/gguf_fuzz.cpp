// Any bytes as a model file: parse them, then read every value through the typed accessors.

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/gguf/gguf_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth;
  const auto bytes = std::as_bytes(std::span(data, size));
  auto parsed = parse_gguf("fuzz.gguf", bytes);
  if (!parsed) {
    // A message is one line, whatever the file held.
    if (parsed.error().message.find('\n') != std::string::npos) __builtin_trap();
    return 0;
  }
  size_t touched = 0;
  for (const auto& [key, value] : parsed->metadata.entries()) {
    static_cast<void>(parsed->metadata.u32(key));
    static_cast<void>(parsed->metadata.f32(key));
    static_cast<void>(parsed->metadata.i32s(key));
    static_cast<void>(parsed->metadata.f32s(key));
    if (const auto strings = parsed->metadata.strings(key))
      for (const std::string_view s : *strings) touched += s.empty() ? 0 : s.front() + s.back();
  }
  for (const TensorInfo& tensor : parsed->tensors) {
    const std::byte* end = tensor.data + tensor.bytes;
    if (tensor.data < bytes.data() || end > bytes.data() + bytes.size()) __builtin_trap();
    touched += static_cast<size_t>(tensor.data[0]) + static_cast<size_t>(end[-1]);
  }
  return touched == SIZE_MAX ? 1 : 0;
}
