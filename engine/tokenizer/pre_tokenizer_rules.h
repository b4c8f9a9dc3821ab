#pragma once
// The rules by which byte-level vocabularies cut a text into words before merging.

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hearth {

/// One row per value of `tokenizer.ggml.pre`.
struct PreTokenizerRules {
  std::string_view name;
  /// Each pattern cuts all pieces that the ones before it left: what it matches is a piece, and so
  /// is what lies between two matches. Perl syntax; \s is Unicode's White_Space.
  std::span<const std::string_view> patterns;
  bool ignore_merges;  // a word that is a token becomes it, whatever the merges say
  bool add_bos;        // default of `tokenizer.ggml.add_bos_token`
  bool clean_spaces;   // decoding a whole text removes blanks before punctuation
};

/// The rules of that name; an unknown one is an error that lists those there are.
Result<PreTokenizerRules> find_pre_tokenizer_rules(std::string_view name);

/// All rows, for tests and for messages.
[[nodiscard]] std::span<const PreTokenizerRules> all_pre_tokenizer_rules();

}  // namespace hearth
