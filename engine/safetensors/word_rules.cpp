#include "engine/safetensors/word_rules.h"

#include <array>
#include <string>
#include <vector>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

// Patterns as tokenizer.json files have them.
#define CONTRACTION R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define BEFORE_WORD R"([^\r\n\p{L}\p{N}]?)"
#define SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define PATH_SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)"
#define SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define GPT2 R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"

/// A chain, its steps one to a line as steps_of() writes them, and the rules that do the same.
struct KnownChain {
  std::string_view steps;
  bool ignore_merges;
  bool clean_spaces;
  std::string_view rules;
};

constexpr std::string_view kGpt2 = GPT2;
constexpr std::string_view kDigitsGpt2 = R"(\p{N})"
                                         "\n" GPT2;
constexpr std::string_view kFalcon = "punctuation\n" GPT2
                                     "\n"
                                     R"(\p{N}+)"
                                     "\n[0-9][0-9][0-9]";
constexpr std::string_view kLlama3 =
    CONTRACTION "|" BEFORE_WORD R"(\p{L}+|\p{N}{1,3}|)" SYMBOLS "|" SPACES;
constexpr std::string_view kQwen2 =
    CONTRACTION "|" BEFORE_WORD R"(\p{L}+|\p{N}|)" SYMBOLS "|" SPACES;
constexpr std::string_view kQwen35 =
    CONTRACTION "|" BEFORE_WORD R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACES;
constexpr std::string_view kGpt4o =
    BEFORE_WORD UPPER "*" LOWER "+" CONTRACTION "?|" BEFORE_WORD UPPER "+" LOWER "*" CONTRACTION
                      R"(?|\p{N}{1,3}|)" PATH_SYMBOLS "|" SPACES;
constexpr std::string_view kTekken = BEFORE_WORD UPPER "*" LOWER "+|" BEFORE_WORD UPPER "+" LOWER
                                                       R"(*|\p{N}|)" PATH_SYMBOLS "|" SPACES;
constexpr std::string_view kDeepSeekV3 =
    R"(\p{N}{1,3})"
    "\n[一-龥぀-ゟ゠-ヿ]+\n"
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|)" SPACES;

constexpr bool kMerge = false, kWhole = true;  // ignore_merges
constexpr bool kKeep = false, kClean = true;   // clean_spaces

constexpr auto kChains = std::to_array<KnownChain>({
    {kGpt2, kMerge, kClean, "gpt-2"},
    {kGpt2, kMerge, kKeep, "trillion"},
    {kDigitsGpt2, kMerge, kClean, "starcoder"},
    {kDigitsGpt2, kMerge, kKeep, "smollm"},
    {kFalcon, kMerge, kClean, "falcon"},
    {kLlama3, kWhole, kClean, "llama-bpe"},
    {kLlama3, kMerge, kClean, "dbrx"},
    {kQwen2, kMerge, kKeep, "qwen2"},
    {kQwen2, kMerge, kClean, "stablelm2"},
    {kQwen35, kMerge, kKeep, "qwen35"},
    {kGpt4o, kMerge, kKeep, "gpt-4o"},
    {kTekken, kWhole, kKeep, "tekken"},
    {kDeepSeekV3, kMerge, kKeep, "deepseek-v3"},
});

std::string text_at(const Metadata& flat, const std::string& key) {
  const auto* text = std::get_if<std::string_view>(flat.find(key));
  return text == nullptr ? std::string() : std::string(*text);
}

bool flag_at(const Metadata& flat, const std::string& key, bool fallback) {
  const auto* flag = std::get_if<bool>(flat.find(key));
  return flag == nullptr ? fallback : *flag;
}

/// The places of the chain's links: "pre_tokenizer" itself or the elements of its sequence.
std::vector<std::string> links_of(const Metadata& flat) {
  const std::string root = "pre_tokenizer";
  if (text_at(flat, root + ".type") != "Sequence") return {root};
  std::vector<std::string> links;
  const auto* count = std::get_if<uint64_t>(flat.find(root + ".pretokenizers[]"));
  for (uint64_t i = 0; count != nullptr && i < *count; ++i)
    links.push_back(root + ".pretokenizers[" + std::to_string(i) + "]");
  return links;
}

std::unexpected<Error> unknown(const Metadata& flat, const std::string& key,
                               const std::string& found) {
  return fail(ErrorCode::kUnsupported,
              flat.source() + ": " + key + ": " + quote_foreign(found) +
                  ", expected a way of cutting words that Hearth knows; a GGUF file of the model "
                  "may name one",
              key);
}

/// The pattern of a "Split"; what it matches is a piece, as is what lies between.
Result<std::string> split_step(const Metadata& flat, const std::string& link) {
  const std::string behavior = text_at(flat, link + ".behavior");
  const bool inverted = flag_at(flat, link + ".invert", false);
  // Patterns that match everything give the same pieces when what is between them is removed.
  if (!(behavior == "Isolated" && !inverted) && !(behavior == "Removed" && inverted))
    return unknown(flat, link + ".behavior", behavior);
  std::string pattern = text_at(flat, link + ".pattern.Regex");
  if (pattern.empty()) return unknown(flat, link + ".pattern", "no Regex");
  return pattern;
}

/// What one link does, as a line of KnownChain; empty for one that cuts nothing.
Result<std::string> step_of(const Metadata& flat, const std::string& link) {
  const std::string type = text_at(flat, link + ".type");
  if (type == "Split") return split_step(flat, link);
  if (type == "Digits")
    return std::string(flag_at(flat, link + ".individual_digits", false) ? R"(\p{N})"
                                                                         : R"(\p{N}+)");
  if (type == "Punctuation" && text_at(flat, link + ".behavior") == "Contiguous")
    return std::string("punctuation");
  if (type != "ByteLevel") return unknown(flat, link + ".type", type);
  if (flag_at(flat, link + ".add_prefix_space", true))
    return unknown(flat, link + ".add_prefix_space", "true");
  return std::string(flag_at(flat, link + ".use_regex", true) ? GPT2 : "");
}

}  // namespace

bool is_byte_level(const Metadata& tokenizer) {
  for (const std::string& link : links_of(tokenizer))
    if (text_at(tokenizer, link + ".type") == "ByteLevel") return true;
  return false;
}

Result<std::string_view> find_word_rules(const Metadata& tokenizer, bool ignore_merges,
                                         bool clean_spaces) {
  std::string steps;
  for (const std::string& link : links_of(tokenizer)) {
    HEARTH_ASSIGN_OR_RETURN(const std::string step, step_of(tokenizer, link));
    if (!step.empty()) steps += (steps.empty() ? "" : "\n") + step;
  }
  const KnownChain* best = nullptr;
  for (const KnownChain& chain : kChains) {
    if (chain.steps != steps || chain.ignore_merges != ignore_merges) continue;
    // Encoding is what matters; decoding's blanks only break the tie.
    if (best == nullptr || chain.clean_spaces == clean_spaces) best = &chain;
  }
  if (best == nullptr) return unknown(tokenizer, "pre_tokenizer", steps);
  return best->rules;
}

}  // namespace hearth
