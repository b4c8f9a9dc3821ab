#include "engine/tokenizer/sentencepiece_tokenizer.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/symbol_merger.h"

namespace hearth {

namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581, a blank in the vocabulary

void append_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == ' ') {
      out.append(kBlank);
    } else {
      out.push_back(c);
    }
  }
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> SentencePieceTokenizer::create(const Metadata& metadata) {
  const VocabularyDefaults defaults{
      .bos = 1, .eos = 2, .unknown = 0, .add_bos = true, .needs_scores = true};
  HEARTH_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::load(metadata, defaults));
  HEARTH_ASSIGN_OR_RETURN(const bool prefix,
                          metadata.bool_or("tokenizer.ggml.add_space_prefix", true));
  // Not behind special tokens: what the files of other formats than GGUF may say.
  HEARTH_ASSIGN_OR_RETURN(const bool once, metadata.bool_or("hearth.tokenizer.prefix_once", false));
  std::vector<float> scores = vocabulary.take_scores();
  return std::unique_ptr<Tokenizer>(
      new SentencePieceTokenizer(std::move(vocabulary), std::move(scores), prefix, once));
}

SentencePieceTokenizer::SentencePieceTokenizer(Vocabulary loaded, std::vector<float> scores,
                                               bool add_space_prefix, bool prefix_once)
    : VocabularyTokenizer(std::move(loaded), !prefix_once), add_space_prefix_(add_space_prefix) {
  rank_by_score(scores);
  find_byte_tokens();
  words_independent_ = no_token_spans_words();
}

void SentencePieceTokenizer::rank_by_score(const std::vector<float>& scores) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, [&](uint32_t a, uint32_t b) { return scores[a] > scores[b]; });
  ranks_.resize(scores.size());
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && scores[order[i]] != scores[order[i - 1]]) ++rank;
    ranks_[order[i]] = rank;
  }
}

void SentencePieceTokenizer::find_byte_tokens() {
  byte_tokens_.fill(-1);
  for (TokenId id = 0; id < vocab_size(); ++id) {
    if (vocabulary().type(id) != TokenType::kByte) continue;
    if (const int byte = byte_token_value(vocabulary().text(id)); byte >= 0) {
      byte_tokens_[static_cast<size_t>(byte)] = id;
    }
  }
  const auto missing = std::ranges::count(byte_tokens_, -1);
  if (missing > 0 && !vocabulary().unknown()) {
    spdlog::warn(
        "tokenizer.ggml.tokens: {} of 256 byte tokens are missing and there is no unknown token: "
        "characters outside the vocabulary are left out of prompts",
        missing);
  }
}

bool SentencePieceTokenizer::no_token_spans_words() const {
  for (TokenId id = 0; id < vocab_size(); ++id) {
    if (vocabulary().is_special(id) || vocabulary().type(id) == TokenType::kByte) continue;
    const std::string_view text = vocabulary().text(id);
    size_t at = text.find_first_not_of(kBlank);  // some byte of another character, if there is one
    if (at == std::string_view::npos) continue;
    if (text.find(kBlank, at) != std::string_view::npos) return false;
  }
  return true;
}

std::string_view SentencePieceTokenizer::next_word(std::string_view text) const {
  if (!words_independent_) return text;
  size_t at = 0;
  while (text.substr(at).starts_with(kBlank)) at += kBlank.size();
  return text.substr(0, text.find(kBlank, at));
}

void SentencePieceTokenizer::encode_plain(std::string_view text, bool at_start,
                                          std::vector<TokenId>& out) const {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 2 + kBlank.size());
  if (at_start && add_space_prefix_) escaped.append(kBlank);
  append_escaped(escaped, text);

  SymbolMerger merger;
  for (std::string_view rest = escaped; !rest.empty();) {
    const std::string_view word = next_word(rest);
    rest.remove_prefix(word.size());
    merger.symbols.clear();
    for (size_t at = 0; at < word.size();) {
      const size_t length = decode_utf8(word.substr(at)).length;
      const auto id = vocabulary().find_plain(word.substr(at, length));
      merger.add(static_cast<uint32_t>(at), static_cast<uint32_t>(length), id.value_or(-1));
      at += length;
    }
    merger.run([&](const Symbol& left, const Symbol& right) {
      const auto id = vocabulary().find_plain(word.substr(left.begin, left.length + right.length));
      return id ? Merge{ranks_[static_cast<size_t>(*id)], *id} : Merge{};
    });
    for (int32_t i = 0; i >= 0; i = merger.symbols[static_cast<size_t>(i)].next) {
      const Symbol& symbol = merger.symbols[static_cast<size_t>(i)];
      if (symbol.id >= 0) {
        out.push_back(symbol.id);
      } else {
        emit_bytes(word.substr(symbol.begin, symbol.length), out);
      }
    }
  }
}

void SentencePieceTokenizer::emit_bytes(std::string_view bytes, std::vector<TokenId>& out) const {
  auto token = [this](char c) { return byte_tokens_[static_cast<uint8_t>(c)]; };
  const bool whole = std::ranges::all_of(bytes, [&](char c) { return token(c) >= 0; });
  if (whole) {
    for (const char c : bytes) out.push_back(token(c));
  } else if (vocabulary().unknown()) {
    out.push_back(*vocabulary().unknown());
  }
}

std::string SentencePieceTokenizer::plain_bytes(std::string_view token_text) const {
  std::string out;
  while (true) {
    const size_t at = token_text.find(kBlank);
    out.append(token_text.substr(0, at));
    if (at == std::string_view::npos) return out;
    out.push_back(' ');
    token_text.remove_prefix(at + kBlank.size());
  }
}

std::string SentencePieceTokenizer::decode(std::span<const TokenId> ids,
                                           bool render_special) const {
  std::string out;
  for (size_t i = 0; i < ids.size(); ++i) {
    std::string piece = token_bytes(ids[i], render_special);
    if (i == 0 && add_space_prefix_ && piece.starts_with(' ')) piece.erase(0, 1);
    out.append(piece);
  }
  return out;
}

}  // namespace hearth
