#pragma once
// Finds the special tokens in a text.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/tokenizer/vocabulary.h"

namespace hearth {

/// A set of token texts, sorted; a lookup narrows the range of texts byte by byte, so that many
/// tokens with one prefix cost no more than one. Keeps views of the vocabulary's texts.
class SpecialMatcher {
 public:
  /// The user-defined tokens of `vocabulary`, with `all` its control and unknown tokens too.
  SpecialMatcher(const Vocabulary& vocabulary, bool all);

  struct Match {
    size_t begin;
    size_t end;
    TokenId id;
  };
  /// The leftmost match at or after `from`; of those that begin there the longest.
  [[nodiscard]] std::optional<Match> next(std::string_view text, size_t from) const;

 private:
  struct Entry {
    std::string_view text;
    TokenId id;
  };
  [[nodiscard]] std::optional<Match> match_at(std::string_view text, size_t at) const;

  std::vector<Entry> entries_;         // by text
  std::array<uint32_t, 257> first_{};  // entries whose first byte is b: [first_[b], first_[b+1])
};

}  // namespace hearth
