// A vocabulary of foreign bytes, and a text through whatever tokenizer it makes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <span>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/utf8.h"
#include "engine/tokenizer/pre_tokenizer_rules.h"
#include "engine/tokenizer/tokenizer.h"

namespace {

using namespace hearth;

/// Takes values off the front of the input; zeros once it is used up.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}
  uint8_t byte() { return rest_.empty() ? 0 : static_cast<uint8_t>(take(1)[0]); }
  std::string_view take(size_t count) {
    const std::string_view out = rest_.substr(0, count);
    rest_.remove_prefix(out.size());
    return out;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// Owns the bytes that a Metadata views.
struct File {
  std::deque<std::string> kept;
  Metadata metadata;

  std::string_view keep(std::string bytes) { return kept.emplace_back(std::move(bytes)); }
  void array(std::string_view key, MetaType type, uint64_t count, std::string bytes) {
    const std::string_view kept_bytes = keep(std::move(bytes));
    const std::span<const char> span(kept_bytes.data(), kept_bytes.size());
    metadata.insert(key, MetaArray{type, count, std::as_bytes(span)});
  }
  void strings(std::string_view key, Input& input, size_t count) {
    std::string bytes;
    for (size_t i = 0; i < count; ++i) {
      const std::string_view text = input.take(input.byte() % 12);
      const uint64_t length = text.size();
      bytes.append(reinterpret_cast<const char*>(&length), sizeof(length));
      bytes.append(text);
    }
    array(key, MetaType::kString, count, std::move(bytes));
  }
};

void build(File& file, Input& input) {
  const bool byte_level = input.byte() % 2 == 0;
  const auto rules = all_pre_tokenizer_rules();
  file.metadata.insert("tokenizer.ggml.model", std::string_view(byte_level ? "gpt2" : "llama"));
  file.metadata.insert("tokenizer.ggml.pre", rules[input.byte() % rules.size()].name);
  if (input.byte() % 4 == 0) file.metadata.insert("general.name", std::string_view("phi-3"));
  for (const std::string_view key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                     "tokenizer.ggml.unknown_token_id"}) {
    if (const uint8_t id = input.byte(); id < 128) file.metadata.insert(key, uint64_t{id});
  }
  const size_t tokens = 1 + input.byte() % 64;
  std::string scores, types;
  for (size_t i = 0; i < tokens + (input.byte() == 255); ++i) {
    const auto score = static_cast<float>(static_cast<int8_t>(input.byte()));
    scores.append(reinterpret_cast<const char*>(&score), sizeof(score));
    const int32_t type = input.byte() % 32 == 31 ? 9 : 1 + input.byte() % 6;
    types.append(reinterpret_cast<const char*>(&type), sizeof(type));
  }
  file.strings("tokenizer.ggml.tokens", input, tokens);
  file.strings("tokenizer.ggml.merges", input, input.byte() % 32);
  const size_t count = scores.size() / sizeof(float);
  file.array("tokenizer.ggml.scores", MetaType::kF32, count, std::move(scores));
  file.array("tokenizer.ggml.token_type", MetaType::kI32, count, std::move(types));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = hearth::set_log_level("off").has_value();
  if (!quiet) std::abort();
  Input input(std::string_view(reinterpret_cast<const char*>(data), size));
  File file;
  build(file, input);
  const auto tokenizer = Tokenizer::create(file.metadata);
  if (!tokenizer.has_value()) return 0;
  const Tokenizer& made = **tokenizer;
  for (const bool parse_special : {false, true}) {
    const auto ids =
        made.encode(input.rest(), {.add_special = true, .parse_special = parse_special});
    StreamDecoder decoder(made, parse_special);
    std::string bytes, streamed;
    for (const TokenId id : ids) {
      if (id < 0 || id >= made.vocab_size()) std::abort();
      bytes += made.token_bytes(id, parse_special);
      streamed += decoder.push(id);
    }
    streamed += decoder.flush();
    if (streamed != sanitize_utf8(bytes)) std::abort();
    static_cast<void>(made.decode(ids, parse_special));
  }
  return 0;
}
