#include <doctest/doctest.h>

#include <map>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/pre_tokenizer_rules.h"
#include "support_vocabulary.h"

namespace {

using namespace hearth;
using test::MetadataBuilder;
using test::TestToken;
using Ids = std::vector<TokenId>;

constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};
constexpr EncodeOptions kParse{.add_special = false, .parse_special = true};

// ids 256 on: lo, low, er, Ġlow, Ġlower and the special ones
const std::vector<std::string> kMerges = {"l o", "lo w", "e r", "Ġ low", "Ġlow er"};
const std::vector<TestToken> kSpecials = {{"<|eot|>", 0, 3}, {"<tool>", 0, 4}, {"ü", 0, 4}};

std::string join(std::string_view left, std::string_view right) {
  std::string out(left);
  out += right;
  return out;
}

}  // namespace

TEST_CASE("byte level: merges in the order of the merges") {
  MetadataBuilder builder;
  test::add_byte_level(builder, "gpt-2", kMerges, kSpecials);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("low lower", kPlain) == Ids{257, 260});
  CHECK(tokenizer->encode("lol", kPlain) == Ids{256, 'l'});
  CHECK(tokenizer->encode("", {}).empty());
  CHECK(tokenizer->encode("é", kPlain) == Ids{0xC3, 0xA9});
  CHECK(tokenizer->decode(Ids{257, 260}, false) == "low lower");
  CHECK(tokenizer->token_bytes(260, false) == " lower");
}

TEST_CASE("byte level: special and user-defined tokens") {
  MetadataBuilder builder;
  test::add_byte_level(builder, "gpt-2", kMerges, kSpecials);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("low<|eot|>low", kParse) == Ids{257, 261, 257});
  CHECK(tokenizer->encode("<|eot|>", kPlain).size() == 7);
  CHECK(tokenizer->encode("<tool>low", kPlain) == Ids{262, 257});
  CHECK(tokenizer->encode("ü", kPlain) == Ids{263});  // a user-defined text is no alphabet
  CHECK(tokenizer->decode(Ids{263, 261}, false) == "ü");
  CHECK(tokenizer->decode(Ids{263, 261}, true) == "ü<|eot|>");
  CHECK(tokenizer->is_special(261));
  CHECK_FALSE(tokenizer->is_special(262));
}

TEST_CASE("byte level: BOS by the family, by the file, and not twice silently dropped") {
  MetadataBuilder builder, told;
  test::add_byte_level(builder, "llama-bpe", kMerges, kSpecials);
  builder.set("tokenizer.ggml.bos_token_id", uint64_t{261});
  CHECK(test::make_tokenizer(builder.metadata())->encode("low", {}) == Ids{261, 257});
  CHECK(test::make_tokenizer(builder.metadata())
            ->encode("<|eot|>low", {.add_special = true, .parse_special = true}) ==
        Ids{261, 261, 257});
  test::add_byte_level(told, "gpt-2", kMerges, kSpecials);
  told.set("tokenizer.ggml.bos_token_id", uint64_t{261})
      .set("tokenizer.ggml.eos_token_id", uint64_t{261})
      .set("tokenizer.ggml.add_eos_token", true);
  CHECK(test::make_tokenizer(told.metadata())->encode("low", {}) == Ids{257, 261});
}

TEST_CASE("byte level: a word that is a token is taken whole where the family says so") {
  // "ba" is a token of no merge; "xy" is one that is control, which plain text never becomes.
  const std::vector<TestToken> more = {{"ba", 0, 1}, {"xy", 0, 3}};
  MetadataBuilder whole, merged;
  test::add_byte_level(whole, "llama-bpe", kMerges, more);
  test::add_byte_level(merged, "gpt-2", kMerges, more);
  CHECK(test::make_tokenizer(whole.metadata())->encode("ba", kPlain) == Ids{261});
  CHECK(test::make_tokenizer(whole.metadata())->encode("xy", kPlain) == Ids{'x', 'y'});
  CHECK(test::make_tokenizer(merged.metadata())->encode("ba", kPlain) == Ids{'b', 'a'});
}

TEST_CASE("byte level: a merge may pass through a text that is no token") {
  const std::vector<std::string> texts = {"a", "b", "c", "abc"};
  const std::vector<std::string> merges = {"a b", "ab c"};
  MetadataBuilder builder;
  builder.set_string("tokenizer.ggml.model", "gpt2")
      .set_string("tokenizer.ggml.pre", "gpt-2")
      .set_strings("tokenizer.ggml.tokens", texts)
      .set_strings("tokenizer.ggml.merges", merges);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("abc", kPlain) == Ids{3});
  CHECK(tokenizer->encode("ab", kPlain) == Ids{0, 1});
  CHECK(tokenizer->encode("azb", kPlain) ==
        Ids{0, 1});  // z is no token and there is no unknown one
}

TEST_CASE("byte level: bytes without a token become the unknown token") {
  const std::vector<std::string> texts = {"a", "b", "<unk>"};
  MetadataBuilder builder;
  builder.set_string("tokenizer.ggml.model", "gpt2")
      .set_strings("tokenizer.ggml.tokens", texts)
      .set_strings("tokenizer.ggml.merges", std::vector<std::string>{})
      .set("tokenizer.ggml.unknown_token_id", uint64_t{2});
  CHECK(test::make_tokenizer(builder.metadata())->encode("azb", kPlain) == Ids{0, 2, 1});
}

TEST_CASE("byte level: whole texts are cleaned of blanks where the family says so") {
  MetadataBuilder cleaning, keeping;
  test::add_byte_level(cleaning, "gpt-2", kMerges, kSpecials);
  test::add_byte_level(keeping, "qwen2", kMerges, kSpecials);
  const auto clean = test::make_tokenizer(cleaning.metadata());
  const auto keep = test::make_tokenizer(keeping.metadata());
  const std::string text = "a , b . c ! d ? e ' f 's 'm 're 've n't 'll  .";
  const Ids ids = clean->encode(text, kPlain);
  CHECK(clean->decode(ids, false) == "a, b. c! d? e'f's'm're've n't 'll .");
  CHECK(keep->decode(keep->encode(text, kPlain), false) == text);
}

TEST_CASE("byte level: equals merging by definition on random merges") {
  test::Random random(11);
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> parts = {"a", "b", "c"};
    std::vector<std::string> merges;
    std::map<std::pair<std::string, std::string>, size_t> ranks;
    std::map<std::string, bool> made = {{"a", true}, {"b", true}, {"c", true}};
    for (int i = 0; i < 20; ++i) {
      const std::string left = parts[random.below(parts.size())];
      const std::string right = parts[random.below(parts.size())];
      if (!made.emplace(join(left, right), true).second) continue;
      ranks[{left, right}] = merges.size();
      merges.push_back(left + " " + right);
      parts.push_back(join(left, right));
    }
    MetadataBuilder builder;
    test::add_byte_level(builder, "gpt-2", merges, {});
    const auto tokenizer = test::make_tokenizer(builder.metadata());
    std::string text(1 + random.below(60), 'a');
    for (char& c : text) c = "abc"[random.below(3)];

    std::vector<std::string> now;
    for (const char c : text) now.emplace_back(1, c);
    while (true) {
      size_t best = now.size(), best_rank = merges.size();
      for (size_t i = 0; i + 1 < now.size(); ++i) {
        const auto found = ranks.find({now[i], now[i + 1]});
        if (found == ranks.end() || found->second >= best_rank) continue;
        best = i;
        best_rank = found->second;
      }
      if (best == now.size()) break;
      now[best] += now[best + 1];
      now.erase(now.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    Ids expected;
    for (const std::string& part : now) expected.push_back(*tokenizer->find_token(part));
    INFO("text: " << text);
    CHECK(tokenizer->encode(text, kPlain) == expected);
  }
}

TEST_CASE("byte level: any bytes come back, whatever the family") {
  test::Random random(5);
  for (const PreTokenizerRules& rules : all_pre_tokenizer_rules()) {
    MetadataBuilder builder;
    test::add_byte_level(builder, rules.name, kMerges, {});
    const auto tokenizer = test::make_tokenizer(builder.metadata());
    CAPTURE(rules.name);
    for (int i = 0; i < 40; ++i) {
      const std::string text =
          i % 2 == 0 ? test::random_bytes(random, 80) : test::random_text(random, 60);
      std::string back;
      for (const TokenId id : tokenizer->encode(text, kPlain)) {
        back += tokenizer->token_bytes(id, false);
      }
      CHECK(back == text);
    }
  }
}

TEST_CASE("byte level: a megabyte of one character") {
  MetadataBuilder builder;
  test::add_byte_level(builder, "llama-bpe", std::vector<std::string>{"a a", "aa aa", "Ġ Ġ"}, {});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode(std::string(1 << 20, 'a'), kPlain).size() == 1 << 18);
  CHECK(tokenizer->encode(std::string(1 << 20, ' '), kPlain).size() == 1 << 19);
  CHECK(tokenizer->encode(std::string(1 << 20, '7'), kPlain).size() == 1 << 20);
}

TEST_CASE("byte level: the alphabet") {
  CHECK(byte_level_alphabet()[' '] == U'Ġ');
  CHECK(byte_level_alphabet()['\n'] == U'Ċ');
  CHECK(byte_level_alphabet()['a'] == U'a');
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string text;
  append_byte_level(text, all);
  CHECK(from_byte_level(text) == all);
  CHECK(from_byte_level("世Ġ") == "世 ");  // outside the alphabet: itself
  CHECK(byte_token_value("<0x0A>") == 10);
  CHECK(byte_token_value("<0xfF>") == 255);
  CHECK(byte_token_value("<0x-1>") == -1);
  CHECK(byte_token_value("<0xA>") == -1);
}
