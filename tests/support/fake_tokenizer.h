#pragma once
// A tokenizer small enough to read: ids 0 to 255 are the bytes, then a few special tokens, then a
// few words. Texts are encoded greedily, longest token first.

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace hearth::testing {

class FakeTokenizer final : public Tokenizer {
 public:
  static constexpr TokenId kBos = 256;
  static constexpr TokenId kEos = 257;
  static constexpr TokenId kTurnStart = 258;
  static constexpr TokenId kTurnEnd = 259;
  static constexpr TokenId kFirstWord = 260;

  /// `has_bos`: encode() adds BOS, as most vocabularies do.
  explicit FakeTokenizer(bool has_bos = true) : has_bos_(has_bos) {
    for (int byte = 0; byte < 256; ++byte) texts_.emplace_back(1, static_cast<char>(byte));
    for (const char* text : {"<s>", "</s>", "<|start|>", "<|end|>"}) texts_.emplace_back(text);
    for (const char* text : {"hello", " world", "\xE2\x82", "the "}) texts_.emplace_back(text);
  }

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text,
                                            EncodeOptions options) const override {
    std::vector<TokenId> ids;
    if (options.add_special && has_bos_) ids.push_back(kBos);
    while (!text.empty()) {
      const TokenId id = longest_token(text, options.parse_special);
      ids.push_back(id);
      text.remove_prefix(texts_[static_cast<size_t>(id)].size());
    }
    return ids;
  }

  [[nodiscard]] std::string decode(std::span<const TokenId> ids,
                                   bool render_special) const override {
    std::string text;
    for (const TokenId id : ids) text += token_bytes(id, render_special);
    return text;
  }

  [[nodiscard]] std::string token_bytes(TokenId id, bool render_special) const override {
    if (id < 0 || id >= vocab_size() || (is_special(id) && !render_special)) return {};
    return texts_[static_cast<size_t>(id)];
  }

  [[nodiscard]] int32_t vocab_size() const override { return static_cast<int32_t>(texts_.size()); }
  [[nodiscard]] std::string_view token_text(TokenId id) const override {
    return texts_[static_cast<size_t>(id)];
  }
  [[nodiscard]] bool is_special(TokenId id) const override { return id >= kBos && id < kFirstWord; }
  [[nodiscard]] std::optional<TokenId> find_token(std::string_view text) const override {
    const auto at = std::ranges::find(texts_, text);
    if (at == texts_.end()) return std::nullopt;
    return static_cast<TokenId>(at - texts_.begin());
  }
  [[nodiscard]] std::optional<TokenId> bos() const override {
    return has_bos_ ? std::optional(kBos) : std::nullopt;
  }
  [[nodiscard]] std::optional<TokenId> eos() const override { return kEos; }
  [[nodiscard]] const std::vector<TokenId>& end_of_generation() const override { return ends_; }

 private:
  [[nodiscard]] TokenId longest_token(std::string_view text, bool parse_special) const {
    for (TokenId id = vocab_size() - 1; id >= kBos; --id) {
      if (is_special(id) && !parse_special) continue;
      if (text.starts_with(texts_[static_cast<size_t>(id)])) return id;
    }
    return static_cast<unsigned char>(text.front());
  }

  bool has_bos_;
  std::vector<std::string> texts_;
  std::vector<TokenId> ends_{kEos, kTurnEnd};
};

}  // namespace hearth::testing
