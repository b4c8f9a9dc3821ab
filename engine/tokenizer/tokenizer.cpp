#include "engine/tokenizer/tokenizer.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level_tokenizer.h"
#include "engine/tokenizer/sentencepiece_tokenizer.h"

namespace hearth {

namespace {

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

/// True if the last bytes of `text`, which is not empty, are a whole character.
bool ends_with_character(std::string_view text) {
  size_t lead = text.size() - 1;
  while (lead > 0 && is_continuation(text[lead])) --lead;
  const Utf8Char last = decode_utf8(text.substr(lead));
  return last.valid && lead + last.length == text.size();
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(const Metadata& metadata) {
  HEARTH_ASSIGN_OR_RETURN(const auto model, metadata.string("tokenizer.ggml.model"));
  if (model == "llama") return SentencePieceTokenizer::create(metadata);
  if (model == "gpt2") return ByteLevelTokenizer::create(metadata);
  return fail(ErrorCode::kUnsupported,
              fmt::format("tokenizer.ggml.model is \"{}\", expected \"llama\" or \"gpt2\"",
                          sanitize_utf8(model.substr(0, 64))));
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool render_special)
    : tokenizer_(tokenizer), render_special_(render_special) {}

std::string StreamDecoder::push(TokenId id) {
  std::string text = std::move(pending_) + tokenizer_.token_bytes(id, render_special_);
  const size_t held = incomplete_utf8_suffix(text);
  pending_ = text.substr(text.size() - held);
  text.resize(text.size() - held);
  // sanitize_utf8 makes one U+FFFD of a broken byte and the continuation bytes after it. Those that
  // come with later tokens belong to it too, or the text would depend on how it was cut.
  if (ended_invalid_) text.erase(text.begin(), std::ranges::find_if_not(text, is_continuation));
  if (!text.empty()) ended_invalid_ = !ends_with_character(text);
  return sanitize_utf8(text);
}

std::string StreamDecoder::flush() {
  std::string text = sanitize_utf8(pending_);
  pending_.clear();
  ended_invalid_ = false;
  return text;
}

}  // namespace hearth
