#include "engine/tokenizer/byte_level_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "engine/tokenizer/byte_level.h"

namespace hearth {

namespace {

/// Replaces each occurrence of `what`, which begins with a blank, by itself without its blanks.
void close_up(std::string& text, std::string_view what) {
  size_t from = text.find(what);
  if (from == std::string::npos) return;
  std::string out;
  size_t copied = 0;
  for (; from != std::string::npos; from = text.find(what, copied)) {
    out.append(text, copied, from - copied);
    for (const char c : what) {
      if (c != ' ') out.push_back(c);
    }
    copied = from + what.size();
  }
  out.append(text, copied);
  text = std::move(out);
}

/// What such vocabularies' own decoders do to a whole text, in this order.
void clean_spaces(std::string& text) {
  for (const std::string_view what :
       {" ?", " !", " .", " ,", " ' ", " 's", " 'm", " 're", " 've"}) {
    close_up(text, what);
  }
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> ByteLevelTokenizer::create(const Metadata& metadata) {
  HEARTH_ASSIGN_OR_RETURN(const auto name, metadata.string_or("tokenizer.ggml.pre", ""));
  if (name.empty()) spdlog::warn("tokenizer.ggml.pre is missing: words are cut as gpt-2 does");
  HEARTH_ASSIGN_OR_RETURN(const auto rules,
                          find_pre_tokenizer_rules(name.empty() ? "gpt-2" : name));
  HEARTH_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::create(rules));
  VocabularyDefaults defaults;
  defaults.add_bos = rules.add_bos;
  HEARTH_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::load(metadata, defaults));
  HEARTH_ASSIGN_OR_RETURN(MergeTable merges, MergeTable::load(metadata, vocabulary));
  return std::unique_ptr<Tokenizer>(new ByteLevelTokenizer(std::move(vocabulary), std::move(merges),
                                                           std::move(pre_tokenizer), rules));
}

ByteLevelTokenizer::ByteLevelTokenizer(Vocabulary loaded, MergeTable merges,
                                       PreTokenizer pre_tokenizer, const PreTokenizerRules& rules)
    : VocabularyTokenizer(std::move(loaded)),
      merges_(std::move(merges)),
      pre_tokenizer_(std::move(pre_tokenizer)),
      rules_(rules) {
  warn_of_missing_bytes();
}

void ByteLevelTokenizer::warn_of_missing_bytes() const {
  if (vocabulary().unknown()) return;
  size_t missing = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    const bool in_utf8 = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
    if (in_utf8 && !vocabulary().contains(merges_.byte_ids()[byte])) ++missing;
  }
  if (missing > 0) {
    spdlog::warn(
        "tokenizer.ggml.tokens: {} of the bytes that a text may have are no tokens and there is no "
        "unknown token: they are left out of prompts",
        missing);
  }
}

void ByteLevelTokenizer::encode_plain(std::string_view text, bool /*at_start*/,
                                      std::vector<TokenId>& out) const {
  SymbolMerger merger;
  size_t begin = 0;
  for (const uint32_t end : pre_tokenizer_.split(text)) {
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (const auto id = whole_word(word)) {
      out.push_back(*id);
    } else {
      encode_word(word, merger, out);
    }
  }
}

std::optional<TokenId> ByteLevelTokenizer::whole_word(std::string_view word) const {
  // A byte takes at least one byte in the alphabet, so that longer words need not be written in it.
  if (!rules_.ignore_merges || word.size() > vocabulary().max_text_bytes()) return std::nullopt;
  std::string text;
  append_byte_level(text, word);
  return vocabulary().find_plain(text);
}

void ByteLevelTokenizer::encode_word(std::string_view word, SymbolMerger& merger,
                                     std::vector<TokenId>& out) const {
  merger.symbols.clear();
  for (size_t at = 0; at < word.size(); ++at) {
    merger.add(static_cast<uint32_t>(at), 1, merges_.byte_ids()[static_cast<uint8_t>(word[at])]);
  }
  merger.run(
      [this](const Symbol& left, const Symbol& right) { return merges_.find(left.id, right.id); });
  for (int32_t i = 0; i >= 0; i = merger.symbols[static_cast<size_t>(i)].next) {
    const Symbol& symbol = merger.symbols[static_cast<size_t>(i)];
    if (vocabulary().contains(symbol.id)) {
      out.push_back(symbol.id);
    } else {
      emit_bytes(word.substr(symbol.begin, symbol.length), out);
    }
  }
}

void ByteLevelTokenizer::emit_bytes(std::string_view bytes, std::vector<TokenId>& out) const {
  for (const char c : bytes) {
    const int32_t id = merges_.byte_ids()[static_cast<uint8_t>(c)];
    if (vocabulary().contains(id)) {
      out.push_back(id);
    } else if (vocabulary().unknown()) {
      out.push_back(*vocabulary().unknown());
    }
  }
}

std::string ByteLevelTokenizer::plain_bytes(std::string_view token_text) const {
  return from_byte_level(token_text);
}

std::string ByteLevelTokenizer::decode(std::span<const TokenId> ids, bool render_special) const {
  std::string out;
  for (const TokenId id : ids) out.append(token_bytes(id, render_special));
  if (rules_.clean_spaces) clean_spaces(out);
  return out;
}

}  // namespace hearth
