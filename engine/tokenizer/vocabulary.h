#pragma once
// The vocabulary of a model file: texts, types and scores of its tokens, and the ids with a role.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/gguf/metadata.h"
#include "engine/tokenizer/token_map.h"
#include "engine/tokenizer/tokenizer.h"

namespace hearth {

/// The file format's token types.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

/// What a tokenizer kind assumes where the file is silent.
struct VocabularyDefaults {
  std::optional<TokenId> bos;  // used only if inside the vocabulary
  std::optional<TokenId> eos;
  std::optional<TokenId> unknown;
  bool add_bos = false;
  bool needs_scores = false;
};

/// Immutable after load. Texts are views into the model file's mapping.
class Vocabulary {
 public:
  /// Reads and checks `tokenizer.ggml.tokens`, `.scores`, `.token_type` and the special ids; also
  /// `hearth.tokenizer.end_ids`, `.strip_left` and `.strip_right`, ids that other formats than GGUF
  /// tell.
  /// Two tokens of one text are tolerated, as real files have them: a text in the prompt becomes
  /// the last one that is not special. A file without token types has normal tokens only.
  static Result<Vocabulary> load(const Metadata& metadata, const VocabularyDefaults& defaults);

  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;  // map_ views texts_
  Vocabulary& operator=(const Vocabulary&) = delete;

  [[nodiscard]] int32_t size() const { return static_cast<int32_t>(texts_.size()); }
  [[nodiscard]] bool contains(TokenId id) const { return id >= 0 && id < size(); }
  /// `id` must be inside the vocabulary for text, type and the flags.
  [[nodiscard]] std::string_view text(TokenId id) const { return texts_[index(id)]; }
  [[nodiscard]] TokenType type(TokenId id) const { return types_[index(id)]; }
  [[nodiscard]] bool is_special(TokenId id) const {
    return type(id) == TokenType::kControl || type(id) == TokenType::kUnknown;
  }
  /// White space before or after such a token belongs to it where it is recognised in a text.
  [[nodiscard]] bool strips_left(TokenId id) const { return (strips_[index(id)] & kLeft) != 0; }
  [[nodiscard]] bool strips_right(TokenId id) const { return (strips_[index(id)] & kRight) != 0; }

  [[nodiscard]] std::optional<TokenId> find(std::string_view text) const { return map_.find(text); }
  /// Like find, but only tokens that plain text may become: never control, unknown or byte tokens.
  [[nodiscard]] std::optional<TokenId> find_plain(std::string_view text) const;

  /// Moves the scores out: whoever merges by them turns them into ranks.
  [[nodiscard]] std::vector<float> take_scores() { return std::move(scores_); }
  [[nodiscard]] size_t max_text_bytes() const { return max_text_bytes_; }
  [[nodiscard]] std::optional<TokenId> bos() const { return bos_; }
  [[nodiscard]] std::optional<TokenId> eos() const { return eos_; }
  [[nodiscard]] std::optional<TokenId> unknown() const { return unknown_; }
  [[nodiscard]] bool adds_bos() const { return add_bos_ && bos_.has_value(); }
  [[nodiscard]] bool adds_eos() const { return add_eos_ && eos_.has_value(); }
  [[nodiscard]] const std::vector<TokenId>& end_of_generation() const { return eog_; }

 private:
  Vocabulary() = default;

  static constexpr uint8_t kLeft = 1;
  static constexpr uint8_t kRight = 2;

  static size_t index(TokenId id) { return static_cast<size_t>(id); }
  Status load_tokens(const Metadata& metadata, bool needs_scores);
  Status load_types(const Metadata& metadata);
  Status load_roles(const Metadata& metadata, const VocabularyDefaults& defaults);
  Result<std::optional<TokenId>> token_id(const Metadata& metadata, std::string_view key,
                                          std::optional<TokenId> fallback) const;
  Result<std::vector<TokenId>> token_ids(const Metadata& metadata, std::string_view key) const;
  void build_map();
  void make_control_where_named();
  void collect_end_of_generation();
  Status set_strips(const Metadata& metadata);

  std::vector<std::string_view> texts_;
  std::vector<TokenType> types_;
  std::vector<uint8_t> strips_;
  std::vector<float> scores_;  // empty if the file has none and none are needed
  TokenMap map_;
  size_t max_text_bytes_ = 0;
  std::optional<TokenId> bos_;
  std::optional<TokenId> eos_;
  std::optional<TokenId> unknown_;
  bool add_bos_ = false;
  bool add_eos_ = false;
  std::vector<TokenId> eog_;  // sorted, no doubles
};

}  // namespace hearth
