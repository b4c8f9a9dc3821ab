#pragma once
// What all tokenizers share: special tokens in a text, BOS and EOS, and lookups.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/special_matcher.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/vocabulary.h"

namespace hearth {

/// A tokenizer over a Vocabulary; the kinds differ in how they cut plain text and render a token.
class VocabularyTokenizer : public Tokenizer {
 public:
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text,
                                            EncodeOptions options) const final;
  [[nodiscard]] std::string token_bytes(TokenId id, bool render_special) const final;

  [[nodiscard]] int32_t vocab_size() const final { return vocabulary_.size(); }
  [[nodiscard]] std::string_view token_text(TokenId id) const final {
    return vocabulary_.contains(id) ? vocabulary_.text(id) : std::string_view();
  }
  [[nodiscard]] bool is_special(TokenId id) const final {
    return vocabulary_.contains(id) && vocabulary_.is_special(id);
  }
  [[nodiscard]] std::optional<TokenId> find_token(std::string_view text) const final {
    return vocabulary_.find(text);
  }
  [[nodiscard]] std::optional<TokenId> bos() const final { return vocabulary_.bos(); }
  [[nodiscard]] std::optional<TokenId> eos() const final { return vocabulary_.eos(); }
  [[nodiscard]] const std::vector<TokenId>& end_of_generation() const final {
    return vocabulary_.end_of_generation();
  }

 protected:
  /// `special_starts_text`: plain text behind a special token is as at the start of the prompt.
  explicit VocabularyTokenizer(Vocabulary vocabulary, bool special_starts_text = true);

  /// Appends the tokens of a text without special tokens. `at_start`: it begins the prompt or,
  /// where that starts a text, follows a special token. At most kMaxPieceBytes long.
  virtual void encode_plain(std::string_view text, bool at_start,
                            std::vector<TokenId>& out) const = 0;
  /// The bytes that a normal token's text stands for.
  [[nodiscard]] virtual std::string plain_bytes(std::string_view token_text) const = 0;

  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  void encode_pieces(std::string_view text, bool at_start, std::vector<TokenId>& out) const;

  Vocabulary vocabulary_;
  SpecialMatcher user_defined_;
  SpecialMatcher all_special_;
  bool special_starts_text_;
};

}  // namespace hearth
