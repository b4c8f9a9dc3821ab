// Any bytes as a tokenizer.json: what is accepted becomes a tokenizer that gives ids in range.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/log.h"
#include "engine/safetensors/tokenizer_translator.h"
#include "engine/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace hearth;
  static const bool quiet = [] {
    spdlog::set_level(spdlog::level::off);
    return true;
  }();
  static_cast<void>(quiet);
  const Metadata none;
  Metadata metadata;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Status status = translate_tokenizer("'tokenizer.json'", text, {none, none, none}, metadata);
  if (!status) {
    // A message is one line, whatever the file held.
    if (status.error().message.find('\n') != std::string::npos) __builtin_trap();
    return 0;
  }
  const auto tokenizer = Tokenizer::create(metadata);
  if (!tokenizer) return 0;
  const auto ids = (*tokenizer)->encode("Hello the 12 <s>\xC3\xB6\xF0\x9F\x98\x80", {true, true});
  for (const TokenId id : ids)
    if (id < 0 || id >= (*tokenizer)->vocab_size()) __builtin_trap();
  static_cast<void>((*tokenizer)->decode(ids, true));
  return 0;
}
