#pragma once
// Byte-level BPE vocabularies (`tokenizer.ggml.model` = "gpt2"): a text is cut into words by the
// patterns of `tokenizer.ggml.pre`, and each word's bytes are merged in the order of the merges.
// Sennrich et al. 2016, arXiv 1508.07909.

#include <memory>

#include "engine/tokenizer/merge_table.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/symbol_merger.h"
#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace hearth {

class ByteLevelTokenizer final : public VocabularyTokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(const Metadata& metadata);

  /// Where the rules say so, blanks before punctuation are removed from the whole text.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool render_special) const final;

 protected:
  void encode_plain(std::string_view text, bool at_start, std::vector<TokenId>& out) const final;
  [[nodiscard]] std::string plain_bytes(std::string_view token_text) const final;

 private:
  ByteLevelTokenizer(Vocabulary vocabulary, MergeTable merges, PreTokenizer pre_tokenizer,
                     const PreTokenizerRules& rules);
  void warn_of_missing_bytes() const;
  [[nodiscard]] std::optional<TokenId> whole_word(std::string_view word) const;
  void encode_word(std::string_view word, SymbolMerger& merger, std::vector<TokenId>& out) const;
  void emit_bytes(std::string_view bytes, std::vector<TokenId>& out) const;

  MergeTable merges_;
  PreTokenizer pre_tokenizer_;
  PreTokenizerRules rules_;
};

}  // namespace hearth
