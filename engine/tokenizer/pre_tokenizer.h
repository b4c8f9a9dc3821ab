#pragma once
// Cuts a text into words by the patterns of PreTokenizerRules.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/tokenizer/pre_tokenizer_rules.h"

namespace hearth {

/// Immutable; any thread may call split.
class PreTokenizer {
 public:
  static Result<PreTokenizer> create(const PreTokenizerRules& rules);

  /// The end offsets of the words of `text` in order; together they cover all of it. Linear in the
  /// length. Bytes that are not UTF-8 count as characters that are neither letter, digit nor space.
  /// `text` must be shorter than 4 GiB.
  [[nodiscard]] std::vector<uint32_t> split(std::string_view text) const;

 private:
  struct CodeDeleter {
    void operator()(void* code) const;
  };
  using Code = std::unique_ptr<void, CodeDeleter>;  // pcre2_code; its header stays in the .cpp

  std::vector<Code> codes_;
};

/// `pattern` with \s and \S replaced by what they mean here: Unicode's White_Space, also inside a
/// class. Public for its test.
[[nodiscard]] std::string expand_white_space(std::string_view pattern);

}  // namespace hearth
