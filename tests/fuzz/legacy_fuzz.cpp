// Any bytes behind the magic of a container of 2023: parse them, then use names, sizes and ends of
// every tensor. The first byte chooses the container, so that the fuzzer need not find the magic.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "engine/legacy/legacy_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth;
  if (size == 0) return 0;
  const char* const magics[] = {"lmgg", "fmgg", "tjgg"};
  std::string file = magics[data[0] % 3];
  file.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto bytes = std::as_bytes(std::span(file));
  const auto parsed = parse_legacy("fuzz.bin", bytes);
  if (!parsed) {
    // A message is one line, whatever the file held.
    if (parsed.error().message.find('\n') != std::string::npos) __builtin_trap();
    return 0;
  }
  size_t touched = 0;
  for (const TensorInfo& tensor : parsed->tensors)
    touched += tensor.name.size() + static_cast<size_t>(tensor.data[0]) +
               static_cast<size_t>(tensor.data[tensor.bytes - 1]);
  const auto tokens = parsed->metadata.strings("tokenizer.ggml.tokens");
  if (!tokens || tokens->size() != parsed->metadata.u32("llama.vocab_size").value_or(0))
    __builtin_trap();
  for (const std::string_view token : *tokens) touched += token.size();
  return touched == SIZE_MAX ? 1 : 0;
}
