#include "engine/tokenizer/pre_tokenizer_rules.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>

#include "engine/gguf/quote.h"

namespace hearth {

namespace {

using Pattern = std::string_view;

// Pieces of patterns that return. Contractions are spelled out rather than matched without case: a
// caseless match would also take U+017F for an s.
#define CONTRACTION "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define BEFORE_WORD R"([^\r\n\p{L}\p{N}]?)"
#define NEWLINES_AND_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define GPT2 R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"

constexpr std::array<Pattern, 1> kGpt2 = {GPT2};

constexpr std::array<Pattern, 4> kDefault = {R"([\p{P}$+<=>^~|]+)", GPT2, R"(\p{N}+)",
                                             "[0-9][0-9][0-9]"};

constexpr std::array<Pattern, 3> kFalcon = {R"([\p{P}$+<=>^~|`]+)", GPT2, "[0-9][0-9][0-9]"};

// Every digit alone, the rest as gpt-2.
constexpr std::array<Pattern, 2> kDigitsGpt2 = {R"(\p{N})", GPT2};

constexpr std::array<Pattern, 1> kLlama3 = {
    CONTRACTION "|" BEFORE_WORD
                R"(\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" NEWLINES_AND_SPACES};

constexpr std::array<Pattern, 1> kQwen2 = {
    CONTRACTION "|" BEFORE_WORD R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" NEWLINES_AND_SPACES};

constexpr std::array<Pattern, 1> kQwen35 = {
    CONTRACTION "|" BEFORE_WORD
                R"([\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" NEWLINES_AND_SPACES};

constexpr std::array<Pattern, 1> kBailing = {
    CONTRACTION "|" BEFORE_WORD
                R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"};

constexpr std::array<Pattern, 1> kSeedCoder = {
    CONTRACTION "|" BEFORE_WORD R"(\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" NEWLINES_AND_SPACES};

// Words begin at a change from lower to upper case. The first alternative wants a lower-case end.
constexpr std::array<Pattern, 1> kGpt4o = {
    BEFORE_WORD UPPER "*" LOWER "+(?:" CONTRACTION ")?|" BEFORE_WORD UPPER "+" LOWER
                      "*(?:" CONTRACTION
                      R"()?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" NEWLINES_AND_SPACES};

constexpr std::array<Pattern, 1> kTekken = {
    BEFORE_WORD UPPER "*" LOWER "+|" BEFORE_WORD UPPER "+" LOWER
                      R"(*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" NEWLINES_AND_SPACES};

// Cased letters as they were in the Unicode version of that tokenizer. Written as numbers, because
// some of these characters turn into others when a text is normalized.
#define CASED_LETTERS                                                                                \
  R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293})"            \
  R"(\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A})"      \
  R"(\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556})"            \
  R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF})"         \
  R"(\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})"         \
  R"(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D})"  \
  R"(\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3})" \
  R"(\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"          \
  R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D})"           \
  R"(\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})"           \
  R"(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D})"          \
  R"(\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF})"         \
  R"(\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F})"       \
  R"(\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"                  \
  R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943})"
#define ASIAN R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)"

// "\s+$" is written so that a failure at the begin of a long run of blanks is the only one: without
// the look-behind it would be tried again from each blank.
constexpr std::array<Pattern, 6> kDeepSeekLlm = {
    R"([\r\n])",
    R"(\s?[)" CASED_LETTERS "]+",
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)",
    R"((?<!\s)\s+\z)",
    ASIAN,
    R"(\p{N}+)"};

constexpr std::array<Pattern, 5> kDeepSeekCoder = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
                                                   ASIAN, R"(\p{N})"};

constexpr std::array<Pattern, 3> kDeepSeekV3 = {
    R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
    R"([!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" NEWLINES_AND_SPACES};

#define NOT_PUNCTUATION R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)"
constexpr std::array<Pattern, 1> kBloom = {NOT_PUNCTUATION};
constexpr std::array<Pattern, 2> kViking = {NOT_PUNCTUATION, R"(\p{N})"};

constexpr std::array<Pattern, 6> kChameleon = {"<sentinel:[0-9]+>",       "IMGIMG[A-I]{1,4}Z",
                                               R"([\t\n]|    |  )",       R"(\p{N})",
                                               R"([\p{P}!-/:-@\[-`{-~])", GPT2};

constexpr bool kMerge = false, kWhole = true;  // ignore_merges
constexpr bool kNoBos = false, kBos = true;    // add_bos
constexpr bool kKeep = false, kClean = true;   // clean_spaces

constexpr auto kRules = std::to_array<PreTokenizerRules>({
    {"gpt-2", kGpt2, kMerge, kNoBos, kClean},
    {"gpt2", kGpt2, kMerge, kNoBos, kClean},
    {"phi-2", kGpt2, kMerge, kNoBos, kClean},
    {"gigachat", kGpt2, kMerge, kNoBos, kClean},
    {"jina-es", kGpt2, kMerge, kNoBos, kClean},
    {"jina-de", kGpt2, kMerge, kNoBos, kClean},
    {"jina-v2-es", kGpt2, kMerge, kNoBos, kClean},
    {"jina-v2-de", kGpt2, kMerge, kNoBos, kClean},
    {"a.x-4.0", kGpt2, kMerge, kNoBos, kClean},
    {"mellum", kGpt2, kMerge, kNoBos, kClean},
    {"exaone4", kGpt2, kMerge, kNoBos, kClean},
    {"mpt", kGpt2, kMerge, kNoBos, kClean},
    {"olmo", kGpt2, kMerge, kNoBos, kClean},
    {"jais", kGpt2, kMerge, kNoBos, kClean},
    {"trillion", kGpt2, kMerge, kNoBos, kKeep},
    {"granite-docling", kGpt2, kMerge, kNoBos, kKeep},
    {"default", kDefault, kMerge, kNoBos, kClean},
    {"falcon", kFalcon, kMerge, kNoBos, kClean},
    {"starcoder", kDigitsGpt2, kMerge, kNoBos, kClean},
    {"refact", kDigitsGpt2, kMerge, kNoBos, kClean},
    {"command-r", kDigitsGpt2, kMerge, kNoBos, kKeep},
    {"smollm", kDigitsGpt2, kMerge, kNoBos, kKeep},
    {"codeshell", kDigitsGpt2, kMerge, kNoBos, kClean},
    {"exaone", kDigitsGpt2, kMerge, kNoBos, kClean},
    {"minerva-7b", kDigitsGpt2, kMerge, kNoBos, kClean},
    {"llama-bpe", kLlama3, kWhole, kBos, kClean},
    {"llama3", kLlama3, kWhole, kBos, kClean},
    {"llama-v3", kLlama3, kWhole, kBos, kClean},
    {"falcon3", kLlama3, kWhole, kBos, kClean},
    {"falcon-h1", kLlama3, kWhole, kBos, kClean},
    {"pixtral", kLlama3, kWhole, kBos, kClean},
    {"midm-2.0", kLlama3, kWhole, kBos, kClean},
    {"lfm2", kLlama3, kWhole, kBos, kClean},
    {"dbrx", kLlama3, kMerge, kNoBos, kClean},
    {"smaug-bpe", kLlama3, kMerge, kNoBos, kClean},
    {"glm4", kLlama3, kMerge, kNoBos, kClean},
    {"chatglm-bpe", kLlama3, kMerge, kNoBos, kClean},
    {"qwen2", kQwen2, kMerge, kNoBos, kKeep},
    {"qwen3", kQwen2, kMerge, kNoBos, kKeep},
    {"deepseek-r1-qwen", kQwen2, kMerge, kNoBos, kKeep},
    {"kormo", kQwen2, kMerge, kNoBos, kKeep},
    {"megrez", kQwen2, kMerge, kNoBos, kClean},
    {"stablelm2", kQwen2, kMerge, kNoBos, kClean},
    {"hunyuan", kQwen2, kMerge, kNoBos, kKeep},
    {"grok-2", kQwen2, kMerge, kNoBos, kKeep},
    {"qwen35", kQwen35, kMerge, kNoBos, kKeep},
    {"bailingmoe", kBailing, kMerge, kNoBos, kKeep},
    {"bailingmoe2", kBailing, kMerge, kNoBos, kKeep},
    {"llada-moe", kBailing, kMerge, kNoBos, kKeep},
    {"seed-coder", kSeedCoder, kMerge, kNoBos, kKeep},
    {"gpt-4o", kGpt4o, kMerge, kNoBos, kKeep},
    {"llama4", kGpt4o, kMerge, kNoBos, kKeep},
    {"kanana2", kGpt4o, kMerge, kNoBos, kKeep},
    {"minimax-m2", kGpt4o, kMerge, kNoBos, kKeep},
    {"tekken", kTekken, kWhole, kBos, kKeep},
    {"deepseek-llm", kDeepSeekLlm, kMerge, kNoBos, kKeep},
    {"deepseek-coder", kDeepSeekCoder, kMerge, kNoBos, kKeep},
    {"deepseek-v3", kDeepSeekV3, kMerge, kNoBos, kKeep},
    {"hunyuan-dense", kDeepSeekV3, kMerge, kNoBos, kKeep},
    {"bloom", kBloom, kMerge, kNoBos, kClean},
    {"gpt3-finnish", kBloom, kMerge, kNoBos, kClean},
    {"poro-chat", kBloom, kMerge, kNoBos, kKeep},
    {"viking", kViking, kMerge, kNoBos, kKeep},
    {"chameleon", kChameleon, kMerge, kBos, kKeep},
});

}  // namespace

std::span<const PreTokenizerRules> all_pre_tokenizer_rules() { return kRules; }

Result<PreTokenizerRules> find_pre_tokenizer_rules(std::string_view name) {
  const auto found = std::ranges::find(kRules, name, &PreTokenizerRules::name);
  if (found != kRules.end()) return *found;
  std::string known;
  for (const auto& rules : kRules)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", rules.name);
  return fail(ErrorCode::kUnsupported, fmt::format("tokenizer.ggml.pre is {}, expected one of {}",
                                                   quote_foreign(name), known));
}

}  // namespace hearth
