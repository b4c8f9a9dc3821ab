#include <doctest/doctest.h>

#include <limits>
#include <map>

#include "base/utf8.h"
#include "support_vocabulary.h"

namespace {

using namespace hearth;
using test::MetadataBuilder;
using test::TestToken;

constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};
constexpr EncodeOptions kParse{.add_special = false, .parse_special = true};
constexpr TokenId kFirst = 259;  // after <unk>, <s>, </s> and the bytes
constexpr TokenId kByteA = 3 + 'a';

const std::vector<TestToken> kWords = {
    {"▁", -10},  {"a", -1},    {"b", -2},      {"ab", -3},         {"▁a", -5},
    {"▁ab", -4}, {"ba", -3},   {"▁▁", -20},    {"<|user|>", 0, 3}, {"<note>", 0, 4},
    {"é", -7},   {"a<s", -30}, {"<pad>", 0, 5}};
// ids: 259 ▁, 260 a, 261 b, 262 ab, 263 ▁a, 264 ▁ab, 265 ba, 266 ▁▁, 267 <|user|>, 268 <note>, 269
// é

using Ids = std::vector<TokenId>;

/// Merging as the definition has it: the best pair of the whole text, until there is none.
std::vector<std::string> merge_slowly(std::vector<std::string> parts,
                                      const std::map<std::string, float>& scores) {
  while (true) {
    size_t best = parts.size();
    float best_score = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = scores.find(parts[i] + parts[i + 1]);
      if (found == scores.end() || !(found->second > best_score)) continue;
      best = i;
      best_score = found->second;
    }
    if (best == parts.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

}  // namespace

TEST_CASE("sentencepiece: merges by score, the leftmost of equals first") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder, kWords);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("ab", kPlain) == Ids{264});
  CHECK(tokenizer->encode("aba", kPlain) == Ids{264, 260});
  CHECK(tokenizer->encode("bab", kPlain) == Ids{259, 265, 261});  // ba and ab: equal scores
  CHECK(tokenizer->encode("a ab", kPlain) == Ids{263, 264});
  CHECK(tokenizer->encode("", kPlain).empty());
  CHECK(tokenizer->encode("", {}) == Ids{1});
  CHECK(tokenizer->encode("a", {}) == Ids{1, 263});
}

TEST_CASE("sentencepiece: characters outside the vocabulary become bytes") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder, kWords);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("aé", kPlain) == Ids{263, 269});
  CHECK(tokenizer->encode("aü", kPlain) == Ids{263, 3 + 0xC3, 3 + 0xBC});
  CHECK(tokenizer->encode("a\xFF", kPlain) == Ids{263, 3 + 0xFF});
  CHECK(tokenizer->encode("a\xC3"
                          "a",
                          kPlain) == Ids{263, 3 + 0xC3, 260});
  CHECK(tokenizer->decode(Ids{3 + 0xC3, 3 + 0xBC}, false) == "ü");
}

TEST_CASE("sentencepiece: without byte tokens a character becomes the unknown token") {
  const std::vector<std::string> texts = {"<unk>", "<s>", "</s>", "▁", "a", "▁a"};
  MetadataBuilder builder;
  builder.set_string("tokenizer.ggml.model", "llama")
      .set_strings("tokenizer.ggml.tokens", texts)
      .set_f32s("tokenizer.ggml.scores", std::vector<float>(6, 0.0f))
      .set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{2, 3, 3, 1, 1, 1});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("aüa", kPlain) == Ids{5, 0, 4});
}

TEST_CASE("sentencepiece: special tokens") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder, kWords);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("<s>a</s>", kParse) == Ids{1, 263, 2});
  CHECK(tokenizer->encode("a<|user|> a", kParse) == Ids{263, 267, 259, 263});
  CHECK(tokenizer->encode("a<note>a", kPlain) == Ids{263, 268, 263});
  // As plain text they never become control tokens, whatever merges there are.
  for (const TokenId id : tokenizer->encode("<s><|user|></s><unk>", kPlain)) {
    CHECK_FALSE(tokenizer->is_special(id));
  }
  CHECK(tokenizer->decode(Ids{1, 263, 2}, false) == " a");
  CHECK(tokenizer->decode(Ids{1, 263, 2}, true) == "<s> a</s>");
  CHECK(tokenizer->decode(Ids{263, 268, 263}, false) == "a<note> a");
  CHECK(tokenizer->decode(Ids{263, -1, 100000, 260}, true) == "aa");
  CHECK(tokenizer->token_bytes(263, false) == " a");
  CHECK(tokenizer->token_text(263) == "▁a");
  CHECK(tokenizer->find_token("<|user|>") == 267);
}

TEST_CASE("sentencepiece: the prefix can be switched off, EOS on") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder, kWords);
  builder.set("tokenizer.ggml.add_space_prefix", false)
      .set("tokenizer.ggml.add_eos_token", true)
      .set("tokenizer.ggml.add_bos_token", false);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("ab", {}) == Ids{262, 2});
  CHECK(tokenizer->decode(Ids{263}, false) == " a");
}

TEST_CASE("sentencepiece: phi-3 takes the blanks after special tokens") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder, kWords);
  builder.set_string("general.name", "Phi-3 Mini");
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("<|user|> \n\t a", kParse) == Ids{267, 263});
  CHECK(tokenizer->encode("<s> a", kParse) == Ids{1, 259, 263});
}

TEST_CASE("sentencepiece: a token across words has the text merged as a whole") {
  MetadataBuilder builder, spanning;
  test::add_sentencepiece(builder, kWords);
  auto words = kWords;
  words.push_back({"b▁a", 0});  // the best score of all
  test::add_sentencepiece(spanning, words);
  const auto alone = test::make_tokenizer(builder.metadata());
  const auto whole = test::make_tokenizer(spanning.metadata());
  CHECK(alone->encode("b a", kPlain) == Ids{259, 261, 263});
  CHECK(whole->encode("b a", kPlain) == Ids{259, kFirst + 13});
}

TEST_CASE("sentencepiece: equals merging by definition on random vocabularies") {
  test::Random random(7);
  for (int round = 0; round < 60; ++round) {
    std::vector<TestToken> tokens = {{"▁", -100}, {"a", -100}, {"b", -100}, {"c", -100}};
    std::map<std::string, float> scores;
    for (int i = 0; i < 25; ++i) {
      std::string text;
      const size_t length = 2 + random.below(4);
      for (size_t j = 0; j < length; ++j)
        text += random.below(6) == 0 ? "▁" : std::string(1, "abc"[random.below(3)]);
      const auto score = -static_cast<float>(random.below(12));  // many equal ones
      if (scores.emplace(text, score).second) tokens.push_back({text, score});
    }
    MetadataBuilder builder;
    test::add_sentencepiece(builder, tokens);
    const auto tokenizer = test::make_tokenizer(builder.metadata());
    std::string text;
    std::vector<std::string> parts = {"▁"};
    for (size_t i = random.below(40); i > 0; --i) {
      text += " abc"[random.below(4)];
      parts.push_back(text.back() == ' ' ? "▁" : std::string(1, text.back()));
    }
    if (text.empty()) continue;
    Ids expected;
    for (const std::string& part : merge_slowly(parts, scores)) {
      expected.push_back(*tokenizer->find_token(part));
    }
    INFO("text: " << text);
    CHECK(tokenizer->encode(text, kPlain) == expected);
  }
}

TEST_CASE("sentencepiece: any bytes come back") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder, kWords);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  test::Random random(3);
  size_t tried = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = test::random_bytes(random, 60);
    if (text.contains("▁") || text.contains("<note>")) continue;  // stands for a blank; takes one
    CHECK(tokenizer->decode(tokenizer->encode(text, kPlain), false) == text);
    ++tried;
  }
  CHECK(tried > 1000);
}

TEST_CASE("sentencepiece: a megabyte of one letter") {
  MetadataBuilder builder;
  test::add_sentencepiece(builder,
                          std::vector<TestToken>{{"▁", -9}, {"a", -8}, {"aa", -1}, {"aaaa", -2}});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode(std::string(1 << 20, 'a'), kPlain).size() == 1 + (1 << 18));
  CHECK(tokenizer->encode(std::string(1 << 20, ' '), kPlain).size() == 1 + (1 << 20));
  CHECK(tokenizer->encode("a", kPlain) == Ids{259, 260});
  CHECK(tokenizer->token_bytes(kByteA, false) == "a");
}
