#pragma once
// tokenizer.json, walked once: its vocabulary and merges as arrays, the rest flattened.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"

namespace hearth {

/// A token with properties of its own.
struct AddedToken {
  int32_t id = 0;
  bool is_special = false;
  bool strips_left = false;
  bool strips_right = false;
};

/// What the file holds. Texts view the file or `unescaped`.
struct TokenizerJson {
  /// [id]; a view without data where no token has the id.
  std::vector<std::string_view> texts;
  std::vector<AddedToken> added;
  /// Pairs of texts with a blank between, best first; kept in the Metadata that was passed.
  MetaArray merges;
  bool has_merges = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
  std::string unknown;  // the unknown token's text; empty if there is none
  /// normalizer, pre_tokenizer and post_processor by their paths.
  Metadata flat;
  std::deque<std::string> unescaped;
  std::unordered_map<std::string_view, int32_t> ids;

  [[nodiscard]] std::optional<int32_t> find(std::string_view text) const {
    const auto it = ids.find(text);
    return it == ids.end() ? std::nullopt : std::optional(it->second);
  }
};

/// Reads a tokenizer.json whose model is BPE; another kind is kUnsupported. `text` must outlive the
/// result; the merges are stored in `keeper`. Errors name `file` (quoted), the path and the value.
Result<TokenizerJson> read_tokenizer_json(const std::string& file, std::string_view text,
                                          Metadata& keeper);

}  // namespace hearth
