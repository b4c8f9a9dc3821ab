#include "engine/tokenizer/vocabulary.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "base/log.h"

namespace hearth {

namespace {

// Vocabularies in use have up to 262144 tokens; texts up to 256 bytes. The limits keep what a
// hostile file can cost in proportion: a text's length bounds the work per merge.
constexpr size_t kMaxTokens = size_t{1} << 22;
constexpr size_t kMaxTextBytes = 4096;

// Texts that end a generation, or a turn, whatever their type says: converters have written them as
// user-defined or normal tokens, and then a prompt's plain text would be taken for them.
constexpr std::array<std::string_view, 20> kEndTexts = {
    "<|eot_id|>",      "<|im_end|>", "<|end|>",       "<|return|>",    "<|call|>",
    "<|flush|>",       "<|calls|>",  "<end_of_turn>", "<|endoftext|>", "</s>",
    "<|eom_id|>",      "<EOT>",      "_<EOT>",        "[EOT]",         "[EOS]",
    "<|end_of_text|>", "<eos>",      "<turn|>",       "<|endofturn|>", "<end_of_utterance>",
};

// The same for tokens that end a completion inside a file: padding, next file, next repository.
constexpr std::array<std::string_view, 9> kFillEndTexts = {
    "<|fim_pad|>", "<fim-pad>",  "<fim_pad>",    "<|fim_repo|>",       "<|repo_name|>",
    "<fim-repo>",  "<reponame>", "<|file_sep|>", "<|file_separator|>",
};

constexpr std::array<std::string_view, 6> kEndKeys = {
    "tokenizer.ggml.eos_token_id",     "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",     "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id", "tokenizer.ggml.fim_sep_token_id",
};

}  // namespace

uint64_t process_hash_seed() {
  static const uint64_t seed = [] {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
  }();
  return seed;
}

Result<Vocabulary> Vocabulary::load(const Metadata& metadata, const VocabularyDefaults& defaults) {
  Vocabulary vocabulary;
  HEARTH_RETURN_IF_ERROR(vocabulary.load_tokens(metadata, defaults.needs_scores));
  HEARTH_RETURN_IF_ERROR(vocabulary.load_types(metadata));
  vocabulary.build_map();
  HEARTH_RETURN_IF_ERROR(vocabulary.load_roles(metadata, defaults));
  HEARTH_RETURN_IF_ERROR(vocabulary.set_strips(metadata));
  return vocabulary;
}

std::optional<TokenId> Vocabulary::find_plain(std::string_view text) const {
  if (text.size() > max_text_bytes_) return std::nullopt;
  const auto id = map_.find(text);
  if (!id || is_special(*id) || type(*id) == TokenType::kByte) return std::nullopt;
  return id;
}

Status Vocabulary::load_tokens(const Metadata& metadata, bool needs_scores) {
  HEARTH_ASSIGN_OR_RETURN(texts_, metadata.strings("tokenizer.ggml.tokens"));
  if (texts_.empty() || texts_.size() > kMaxTokens) {
    return fail(ErrorCode::kMalformed, fmt::format("tokenizer.ggml.tokens has {} tokens, expected "
                                                   "1 to {}",
                                                   texts_.size(), kMaxTokens));
  }
  for (size_t i = 0; i < texts_.size(); ++i) {
    max_text_bytes_ = std::max(max_text_bytes_, texts_[i].size());
    if (texts_[i].size() > kMaxTextBytes) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("tokenizer.ggml.tokens[{}] has {} bytes, expected at most {}", i,
                              texts_[i].size(), kMaxTextBytes));
    }
  }
  if (!needs_scores) return {};
  HEARTH_ASSIGN_OR_RETURN(scores_, metadata.f32s("tokenizer.ggml.scores"));
  if (scores_.size() != texts_.size()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("tokenizer.ggml.scores has {} elements, expected {} as "
                            "tokenizer.ggml.tokens",
                            scores_.size(), texts_.size()));
  }
  const auto nan = std::ranges::find_if(scores_, [](float score) { return std::isnan(score); });
  if (nan != scores_.end()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("tokenizer.ggml.scores[{}] is not a number", nan - scores_.begin()));
  }
  return {};
}

Status Vocabulary::load_types(const Metadata& metadata) {
  types_.assign(texts_.size(), TokenType::kNormal);
  if (!metadata.contains("tokenizer.ggml.token_type")) return {};
  HEARTH_ASSIGN_OR_RETURN(const auto types, metadata.i32s("tokenizer.ggml.token_type"));
  if (types.size() != texts_.size()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("tokenizer.ggml.token_type has {} elements, expected {} as "
                            "tokenizer.ggml.tokens",
                            types.size(), texts_.size()));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] < 1 || types[i] > 6) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("tokenizer.ggml.token_type[{}] is {}, expected 1 to 6", i, types[i]));
    }
    types_[i] = static_cast<TokenType>(types[i]);
  }
  return {};
}

void Vocabulary::build_map() {
  map_ = TokenMap(texts_);
  auto plain = [this](TokenId id) { return !is_special(id) && type(id) != TokenType::kByte; };
  size_t doubles = 0;
  for (TokenId id = 0; id < size(); ++id) {
    const auto before = map_.insert(id);
    if (!before) continue;
    ++doubles;
    if (plain(id) || !plain(*before)) map_.replace(id);
  }
  if (doubles > 0) {
    spdlog::warn("tokenizer.ggml.tokens: {} tokens have the text of an earlier one", doubles);
  }
}

Result<std::optional<TokenId>> Vocabulary::token_id(const Metadata& metadata, std::string_view key,
                                                    std::optional<TokenId> fallback) const {
  if (!metadata.contains(key)) {
    if (fallback && !contains(*fallback)) return std::nullopt;
    return fallback;
  }
  HEARTH_ASSIGN_OR_RETURN(const uint32_t id, metadata.u32(key));
  if (id == UINT32_MAX) return std::nullopt;  // how converters write "none"
  if (id >= texts_.size()) {
    return fail(ErrorCode::kMalformed, fmt::format("{} is {}, expected less than {}, the number of "
                                                   "tokens",
                                                   key, id, texts_.size()));
  }
  return static_cast<TokenId>(id);
}

Result<std::vector<TokenId>> Vocabulary::token_ids(const Metadata& metadata,
                                                   std::string_view key) const {
  HEARTH_ASSIGN_OR_RETURN(auto ids, metadata.i32s(key));
  const auto bad = std::ranges::find_if(ids, [this](int32_t id) { return !contains(id); });
  if (bad != ids.end()) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}[{}] is {}, expected less than {}, the number of tokens", key,
                            bad - ids.begin(), *bad, texts_.size()));
  }
  return ids;
}

Status Vocabulary::load_roles(const Metadata& metadata, const VocabularyDefaults& defaults) {
  HEARTH_ASSIGN_OR_RETURN(bos_, token_id(metadata, "tokenizer.ggml.bos_token_id", defaults.bos));
  HEARTH_ASSIGN_OR_RETURN(eos_, token_id(metadata, "tokenizer.ggml.eos_token_id", defaults.eos));
  HEARTH_ASSIGN_OR_RETURN(unknown_,
                          token_id(metadata, "tokenizer.ggml.unknown_token_id", defaults.unknown));
  HEARTH_ASSIGN_OR_RETURN(add_bos_,
                          metadata.bool_or("tokenizer.ggml.add_bos_token", defaults.add_bos));
  HEARTH_ASSIGN_OR_RETURN(add_eos_, metadata.bool_or("tokenizer.ggml.add_eos_token", false));
  for (const std::string_view key : kEndKeys) {
    HEARTH_ASSIGN_OR_RETURN(const auto id, token_id(metadata, key, std::nullopt));
    if (id) eog_.push_back(*id);
  }
  if (metadata.contains("hearth.tokenizer.end_ids")) {
    HEARTH_ASSIGN_OR_RETURN(const auto ids, token_ids(metadata, "hearth.tokenizer.end_ids"));
    eog_.insert(eog_.end(), ids.begin(), ids.end());
  }
  if (eos_) eog_.push_back(*eos_);
  make_control_where_named();
  collect_end_of_generation();
  return {};
}

void Vocabulary::make_control_where_named() {
  auto make_control = [this](std::string_view text) {
    const auto id = map_.find(text);
    if (!id || type(*id) == TokenType::kByte || is_special(*id)) return;
    types_[index(*id)] = TokenType::kControl;
    spdlog::debug("token {} ends a turn by its text; taken as a control token", *id);
  };
  std::ranges::for_each(kEndTexts, make_control);
  std::ranges::for_each(kFillEndTexts, make_control);
}

void Vocabulary::collect_end_of_generation() {
  auto add = [this](std::string_view text) {
    if (const auto id = map_.find(text)) eog_.push_back(*id);
  };
  std::ranges::for_each(kEndTexts, add);
  std::ranges::for_each(kFillEndTexts, add);
  // In the channel format of such vocabularies <|end|> closes a message, and the answer goes on.
  const auto end = map_.find("<|end|>");
  if (end && end != eos_ && map_.find("<|return|>") && map_.find("<|call|>")) {
    std::erase(eog_, *end);
  }
  std::ranges::sort(eog_);
  eog_.erase(std::unique(eog_.begin(), eog_.end()), eog_.end());
}

Status Vocabulary::set_strips(const Metadata& metadata) {
  strips_.assign(texts_.size(), 0);
  auto set = [this](std::string_view text, uint8_t value) {
    if (const auto id = map_.find(text)) strips_[index(*id)] = value;
  };
  for (const auto& [key, side] : {std::pair{"hearth.tokenizer.strip_left", kLeft},
                                  std::pair{"hearth.tokenizer.strip_right", kRight}}) {
    if (!metadata.contains(key)) continue;
    HEARTH_ASSIGN_OR_RETURN(const auto ids, token_ids(metadata, key));
    for (const TokenId id : ids) strips_[index(id)] |= side;
  }
  HEARTH_ASSIGN_OR_RETURN(const auto pre, metadata.string_or("tokenizer.ggml.pre", ""));
  if (pre == "jina-v2-de" || pre == "jina-v2-es") set("<mask>", kLeft);

  // The file format does not carry this property; phi-3's own tokenizer sets it on all special
  // tokens but three, and its files are told by their name.
  HEARTH_ASSIGN_OR_RETURN(const auto general_name, metadata.string_or("general.name", ""));
  std::string name(general_name);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  if (!name.contains("phi-3") && !name.contains("phi3")) return {};
  for (TokenId id = 0; id < size(); ++id) {
    if (is_special(id) || type(id) == TokenType::kUserDefined) strips_[index(id)] = kRight;
  }
  for (const std::string_view text : {"<unk>", "<s>", "<|endoftext|>"}) set(text, 0);
  return {};
}

}  // namespace hearth
