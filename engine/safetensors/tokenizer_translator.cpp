#include "engine/safetensors/tokenizer_translator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "engine/gguf/array_builder.h"
#include "engine/gguf/quote.h"
#include "engine/safetensors/tokenizer_json.h"
#include "engine/safetensors/word_rules.h"

namespace hearth {
namespace {

constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581, a blank in the vocabulary
/// How files say that a token role is empty.
constexpr uint64_t kNone = UINT32_MAX;

enum TokenKind : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

/// Tokens that the post-processor puts around a text.
struct Surroundings {
  std::optional<int32_t> first;
  std::optional<int32_t> last;
};

class TokenizerTranslator {
 public:
  TokenizerTranslator(const std::string& file, TokenizerJson json,
                      const TokenizerCompanions& companions, Metadata& out)
      : file_(file), json_(std::move(json)), companions_(companions), out_(out) {}

  Status translate() {
    kinds_.assign(json_.texts.size(), kNormal);
    if (is_byte_level(json_.flat)) {
      HEARTH_RETURN_IF_ERROR(byte_level());
    } else if (json_.byte_fallback) {
      HEARTH_RETURN_IF_ERROR(sentence_piece());
    } else {
      return unsupported("model", "neither byte_fallback nor a ByteLevel pre-tokenizer",
                         "one of them");
    }
    set_added_kinds();
    put_tokens();
    return roles();
  }

 private:
  std::unexpected<Error> unsupported(const std::string& key, const std::string& found,
                                     const std::string& expected) const {
    return fail(ErrorCode::kUnsupported,
                file_ + ": " + key + ": " + found + ", expected " + expected, key);
  }
  [[nodiscard]] std::string text_at(const std::string& key) const {
    const auto* text = std::get_if<std::string_view>(json_.flat.find(key));
    return text == nullptr ? std::string() : std::string(*text);
  }
  [[nodiscard]] uint64_t count_at(const std::string& key) const {
    const auto* count = std::get_if<uint64_t>(json_.flat.find(key));
    return count == nullptr ? 0 : *count;
  }
  void put(std::string_view key, MetaValue value) { out_.insert(key, value); }

  // The two kinds of vocabularies.
  Status byte_level();
  Status sentence_piece();
  Status read_blank_rules();
  Status normalizer_link(const std::string& link, bool& escapes, bool& prefixes) const;
  void put_scores();

  // What both have.
  void set_added_kinds();
  void put_tokens();
  Status roles();
  Result<Surroundings> surroundings() const;
  Status read_template(const std::string& link, Surroundings& out) const;
  Result<std::optional<int32_t>> special_token(const char* name) const;
  Status add_ids(const Metadata& from, const char* key, std::vector<int32_t>& ids) const;

  const std::string& file_;
  TokenizerJson json_;
  const TokenizerCompanions& companions_;
  Metadata& out_;
  std::vector<uint8_t> kinds_;
};

Status TokenizerTranslator::byte_level() {
  // Unicode's composed form is what nearly all text has; the vocabulary format has no key for it.
  const std::string normalizer = text_at("normalizer.type");
  if (!normalizer.empty() && normalizer != "NFC")
    return unsupported("normalizer.type", quote_foreign(normalizer), "NFC or none");
  HEARTH_ASSIGN_OR_RETURN(
      const bool clean,
      companions_.tokenizer.bool_or("clean_up_tokenization_spaces", json_.ignore_merges));
  HEARTH_ASSIGN_OR_RETURN(const std::string_view rules,
                          find_word_rules(json_.flat, json_.ignore_merges, clean));
  put("tokenizer.ggml.model", std::string_view("gpt2"));
  put("tokenizer.ggml.pre", rules);
  put("tokenizer.ggml.merges", json_.merges);
  return {};
}

Status TokenizerTranslator::sentence_piece() {
  HEARTH_RETURN_IF_ERROR(read_blank_rules());
  for (size_t id = 0; id < kinds_.size(); ++id) {
    const std::string_view text = json_.texts[id];
    if (text.size() == 6 && text.starts_with("<0x") && text.ends_with('>')) kinds_[id] = kByte;
  }
  put("tokenizer.ggml.model", std::string_view("llama"));
  put_scores();
  return {};
}

/// Whether blanks become U+2581 and one is put before a text: by a normalizer, or by the
/// pre-tokenizer "Metaspace".
Status TokenizerTranslator::read_blank_rules() {
  bool escapes = false;
  bool prefixes = false;
  if (text_at("normalizer.type") == "Sequence") {
    for (uint64_t i = 0; i < count_at("normalizer.normalizers[]"); ++i)
      HEARTH_RETURN_IF_ERROR(
          normalizer_link("normalizer.normalizers[" + std::to_string(i) + "]", escapes, prefixes));
  } else if (json_.flat.contains("normalizer.type")) {
    HEARTH_RETURN_IF_ERROR(normalizer_link("normalizer", escapes, prefixes));
  }
  const std::string words = text_at("pre_tokenizer.type");
  if (words == "Metaspace") {
    const std::string scheme = text_at("pre_tokenizer.prepend_scheme");
    if (text_at("pre_tokenizer.replacement") != kBlank)
      return unsupported("pre_tokenizer.replacement", "another character", "U+2581");
    escapes = true;
    prefixes = scheme != "never";
    if (scheme == "first") put("hearth.tokenizer.prefix_once", true);
  } else if (words == "Split") {
    // Blanks are escaped before it is asked to cut at them.
    if (text_at("pre_tokenizer.pattern.String") != " ")
      return unsupported("pre_tokenizer.pattern", "no blank", "a blank");
  } else if (!words.empty()) {
    return unsupported("pre_tokenizer.type", quote_foreign(words), "Metaspace or none");
  }
  if (!escapes) return unsupported("normalizer", "blanks stay", "blanks that become U+2581");
  put("tokenizer.ggml.add_space_prefix", prefixes);
  return {};
}

Status TokenizerTranslator::normalizer_link(const std::string& link, bool& escapes,
                                            bool& prefixes) const {
  const std::string type = text_at(link + ".type");
  if (type == "Prepend" && text_at(link + ".prepend") == kBlank) {
    prefixes = true;
    return {};
  }
  if (type == "Replace" && text_at(link + ".pattern.String") == " " &&
      text_at(link + ".content") == kBlank) {
    escapes = true;
    return {};
  }
  return unsupported(link + ".type", quote_foreign(type), "Prepend or Replace with U+2581");
}

/// Such vocabularies merge by scores: a token's is the place of the first merge that makes it. What
/// no merge makes comes last.
void TokenizerTranslator::put_scores() {
  const auto never = -static_cast<float>(json_.merges.count);
  std::vector<float> scores(json_.texts.size(), never);
  const auto* at = reinterpret_cast<const char*>(json_.merges.bytes.data());
  std::string whole;
  for (uint64_t rank = 0; rank < json_.merges.count; ++rank) {
    uint64_t length = 0;
    std::memcpy(&length, at, sizeof(length));
    const std::string_view line(at + sizeof(length), length);
    at += sizeof(length) + length;
    const size_t blank = line.find(' ');
    whole.assign(line.substr(0, blank));
    if (blank != std::string_view::npos) whole.append(line.substr(blank + 1));
    if (const auto id = json_.find(whole)) {
      float& score = scores[static_cast<size_t>(*id)];
      score = std::max(score, -static_cast<float>(rank));
    }
  }
  put("tokenizer.ggml.scores", keep_array<float>(out_, scores));
}

void TokenizerTranslator::set_added_kinds() {
  std::vector<int32_t> left;
  std::vector<int32_t> right;
  for (const AddedToken& token : json_.added) {
    kinds_[static_cast<size_t>(token.id)] = token.is_special ? kControl : kUserDefined;
    if (token.strips_left) left.push_back(token.id);
    if (token.strips_right) right.push_back(token.id);
  }
  if (const auto unknown = json_.find(json_.unknown); !json_.unknown.empty() && unknown)
    kinds_[static_cast<size_t>(*unknown)] = kUnknown;
  if (!left.empty()) put("hearth.tokenizer.strip_left", keep_array<int32_t>(out_, left));
  if (!right.empty()) put("hearth.tokenizer.strip_right", keep_array<int32_t>(out_, right));
}

void TokenizerTranslator::put_tokens() {
  StringArrayBuilder tokens;
  size_t bytes = 0;
  for (const std::string_view text : json_.texts) bytes += sizeof(uint64_t) + text.size();
  tokens.reserve_bytes(bytes);
  for (size_t id = 0; id < json_.texts.size(); ++id) {
    if (json_.texts[id].data() != nullptr) {
      tokens.add(json_.texts[id]);
    } else {
      tokens.add("[UNUSED" + std::to_string(id) + "]");
      kinds_[id] = kUnused;
    }
  }
  put("tokenizer.ggml.tokens", std::move(tokens).keep_in(out_));
  put("tokenizer.ggml.token_type", keep_array<uint8_t>(out_, kinds_));
}

Status TokenizerTranslator::roles() {
  HEARTH_ASSIGN_OR_RETURN(const Surroundings around, surroundings());
  HEARTH_ASSIGN_OR_RETURN(std::optional<int32_t> bos, special_token("bos_token"));
  HEARTH_ASSIGN_OR_RETURN(std::optional<int32_t> eos, special_token("eos_token"));
  std::vector<int32_t> ends;
  for (const Metadata* from : {&companions_.generation, &companions_.config})
    HEARTH_RETURN_IF_ERROR(add_ids(*from, "eos_token_id", ends));
  if (around.first) bos = around.first;
  if (around.last) eos = around.last;
  if (!eos && !ends.empty()) eos = ends.front();
  const auto id_or_none = [](std::optional<int32_t> id) {
    return MetaValue(id ? static_cast<uint64_t>(*id) : kNone);
  };
  put("tokenizer.ggml.bos_token_id", id_or_none(bos));
  put("tokenizer.ggml.eos_token_id", id_or_none(eos));
  put("tokenizer.ggml.unknown_token_id",
      id_or_none(json_.unknown.empty() ? std::nullopt : json_.find(json_.unknown)));
  put("tokenizer.ggml.add_bos_token", around.first.has_value());
  put("tokenizer.ggml.add_eos_token", around.last.has_value());
  if (!ends.empty()) put("hearth.tokenizer.end_ids", keep_array<int32_t>(out_, ends));
  return {};
}

/// From the post-processor; without one that says, from tokenizer_config.json.
Result<Surroundings> TokenizerTranslator::surroundings() const {
  Surroundings out;
  std::vector<std::string> links;
  if (text_at("post_processor.type") == "Sequence") {
    for (uint64_t i = 0; i < count_at("post_processor.processors[]"); ++i)
      links.push_back("post_processor.processors[" + std::to_string(i) + "]");
  } else if (json_.flat.contains("post_processor.type")) {
    links.emplace_back("post_processor");
  }
  bool is_told = false;
  for (const std::string& link : links) {
    const std::string type = text_at(link + ".type");
    if (type == "ByteLevel") continue;  // of offsets alone
    if (type != "TemplateProcessing")
      return unsupported(link + ".type", quote_foreign(type), "TemplateProcessing or ByteLevel");
    HEARTH_RETURN_IF_ERROR(read_template(link, out));
    is_told = true;
  }
  if (is_told) return out;
  HEARTH_ASSIGN_OR_RETURN(const bool adds_bos,
                          companions_.tokenizer.bool_or("add_bos_token", false));
  HEARTH_ASSIGN_OR_RETURN(const bool adds_eos,
                          companions_.tokenizer.bool_or("add_eos_token", false));
  if (adds_bos) {
    HEARTH_ASSIGN_OR_RETURN(out.first, special_token("bos_token"));
  }
  if (adds_eos) {
    HEARTH_ASSIGN_OR_RETURN(out.last, special_token("eos_token"));
  }
  return out;
}

/// "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, …]
Status TokenizerTranslator::read_template(const std::string& link, Surroundings& out) const {
  bool is_behind = false;
  for (uint64_t i = 0; i < count_at(link + ".single[]"); ++i) {
    const std::string item = link + ".single[" + std::to_string(i) + "]";
    if (json_.flat.contains(item + ".Sequence.id")) {
      is_behind = true;
      continue;
    }
    const std::string text = text_at(item + ".SpecialToken.id");
    const auto id = json_.find(text);
    std::optional<int32_t>& place = is_behind ? out.last : out.first;
    if (!id || place) return unsupported(item, quote_foreign(text), "one token before or behind");
    place = id;
  }
  return {};
}

/// A token of tokenizer_config.json: its text, or an object with it as "content".
Result<std::optional<int32_t>> TokenizerTranslator::special_token(const char* name) const {
  const Metadata& config = companions_.tokenizer;
  const std::string nested = std::string(name) + ".content";
  const std::string_view key = config.contains(nested) ? std::string_view(nested) : name;
  if (!config.contains(key)) return std::nullopt;
  HEARTH_ASSIGN_OR_RETURN(const std::string_view text, config.string(key));
  const auto id = json_.find(text);
  if (!id)
    return fail(ErrorCode::kMalformed,
                config.source() + ": " + name + ": " + quote_foreign(text) +
                    ", expected a token of tokenizer.json",
                name);
  return id;
}

/// Appends the id or ids under `key`.
Status TokenizerTranslator::add_ids(const Metadata& from, const char* key,
                                    std::vector<int32_t>& ids) const {
  std::vector<std::string> keys;
  if (from.contains(key)) keys.emplace_back(key);
  const auto* count = std::get_if<uint64_t>(from.find(std::string(key) + "[]"));
  for (uint64_t i = 0; count != nullptr && i < *count; ++i)
    keys.push_back(std::string(key) + "[" + std::to_string(i) + "]");
  for (const std::string& one : keys) {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t id, from.u32(one));
    if (id >= json_.texts.size())
      return fail(ErrorCode::kMalformed,
                  from.source() + ": " + one + ": " + std::to_string(id) +
                      ", expected the id of a token, less than " +
                      std::to_string(json_.texts.size()),
                  one);
    if (std::ranges::find(ids, static_cast<int32_t>(id)) == ids.end())
      ids.push_back(static_cast<int32_t>(id));
  }
  return {};
}

}  // namespace

Status translate_tokenizer(const std::string& file, std::string_view text,
                           const TokenizerCompanions& companions, Metadata& out) {
  HEARTH_ASSIGN_OR_RETURN(TokenizerJson json, read_tokenizer_json(file, text, out));
  return TokenizerTranslator(file, std::move(json), companions, out).translate();
}

}  // namespace hearth
