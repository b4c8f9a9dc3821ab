#pragma once
// SentencePiece BPE vocabularies (`tokenizer.ggml.model` = "llama"): characters are merged by the
// scores of the tokens they make, what is no token falls back to byte tokens. Kudo and Richardson
// 2018, arXiv 1808.06226.

#include <array>
#include <memory>

#include "engine/tokenizer/vocabulary_tokenizer.h"

namespace hearth {

class SentencePieceTokenizer final : public VocabularyTokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(const Metadata& metadata);

  /// A first token's leading blank is the one that encoding put before the text, and is left out.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids, bool render_special) const final;

 protected:
  void encode_plain(std::string_view text, bool at_start, std::vector<TokenId>& out) const final;
  [[nodiscard]] std::string plain_bytes(std::string_view token_text) const final;

 private:
  SentencePieceTokenizer(Vocabulary vocabulary, std::vector<float> scores, bool add_space_prefix,
                         bool prefix_once);
  void rank_by_score(const std::vector<float>& scores);
  void find_byte_tokens();
  [[nodiscard]] bool no_token_spans_words() const;
  [[nodiscard]] std::string_view next_word(std::string_view text) const;
  void emit_bytes(std::string_view bytes, std::vector<TokenId>& out) const;

  std::vector<uint32_t> ranks_;           // [vocab_size]; equal scores have equal ranks
  std::array<TokenId, 256> byte_tokens_;  // -1 where there is none
  bool add_space_prefix_;
  bool words_independent_;  // no merge crosses the border before a blank: words are merged alone
};

}  // namespace hearth
