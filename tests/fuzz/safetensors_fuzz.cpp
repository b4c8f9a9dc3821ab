// Any bytes as a safetensors file, and as a config.json whose values become metadata.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/safetensors/config_translator.h"
#include "engine/safetensors/json_reader.h"
#include "engine/safetensors/safetensors_header.h"

namespace {

using namespace hearth;

/// A message is one line, whatever the file held.
void check(const Error& error) {
  if (error.message.find('\n') != std::string::npos) __builtin_trap();
}

size_t use_header(std::span<const std::byte> bytes) {
  Metadata keeper;
  const auto tensors = parse_safetensors("fuzz.safetensors", bytes, keeper);
  if (!tensors) return check(tensors.error()), 0;
  size_t touched = 0;
  for (const TensorInfo& tensor : *tensors) {
    if (tensor.data < bytes.data() || tensor.data + tensor.bytes > bytes.data() + bytes.size())
      __builtin_trap();
    touched += tensor.name.size() + static_cast<size_t>(tensor.data[0]) +
               static_cast<size_t>(tensor.data[tensor.bytes - 1]);
  }
  return touched;
}

void use_config(std::string_view text) {
  Metadata config;
  config.set_source("'config.json'");
  JsonReader reader("'config.json'", text);
  if (const Status status = reader.flatten(config); !status) return check(status.error());
  const auto model = find_known_model(config);
  if (!model) return check(model.error());
  static_cast<void>(gguf_name_of_safetensors(**model, text));
  ParsedFile parsed;
  if (const Status status = translate_config(config, **model, parsed); !status)
    return check(status.error());
  for (const TensorInfo& tensor : parsed.tensors)
    if (tensor.bytes == 0) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const size_t touched = use_header(bytes);
  use_config({reinterpret_cast<const char*>(data), size});
  // A header alone: the length is what is hard to guess.
  const uint64_t length = size;
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file.append(reinterpret_cast<const char*>(data), size);
  file.append(64, 'w');
  return touched + use_header(std::as_bytes(std::span(file))) == SIZE_MAX ? 1 : 0;
}
