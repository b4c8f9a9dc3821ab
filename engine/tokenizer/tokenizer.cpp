#include "engine/tokenizer/tokenizer.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "base/utf8.h"
#include "engine/gguf/quote.h"
#include "engine/tokenizer/byte_level_tokenizer.h"
#include "engine/tokenizer/sentencepiece_tokenizer.h"

namespace hearth {

namespace {

Result<std::unique_ptr<Tokenizer>> create_model(const Metadata& metadata) {
  HEARTH_ASSIGN_OR_RETURN(const auto model, metadata.string("tokenizer.ggml.model"));
  if (model == "llama") return SentencePieceTokenizer::create(metadata);
  if (model == "gpt2") return ByteLevelTokenizer::create(metadata);
  return fail(ErrorCode::kUnsupported,
              fmt::format("tokenizer.ggml.model is {}, expected \"llama\" or \"gpt2\"",
                          quote_foreign(model)));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(const Metadata& metadata) {
  auto tokenizer = create_model(metadata);
  if (!tokenizer.has_value() && !tokenizer.error().message.starts_with(metadata.source())) {
    Error error = std::move(tokenizer).error();
    error.message = fmt::format("{}: {}", metadata.source(), error.message);
    return std::unexpected(std::move(error));
  }
  return tokenizer;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool render_special)
    : tokenizer_(tokenizer), render_special_(render_special) {}

std::string StreamDecoder::push(TokenId id) {
  std::string text = std::move(pending_) + tokenizer_.token_bytes(id, render_special_);
  const size_t held = incomplete_utf8_suffix(text);
  pending_ = text.substr(text.size() - held);
  text.resize(text.size() - held);
  return sanitize_utf8(text);
}

std::string StreamDecoder::flush() {
  std::string text = sanitize_utf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace hearth
