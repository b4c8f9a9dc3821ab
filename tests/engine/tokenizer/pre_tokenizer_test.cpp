#include "engine/tokenizer/pre_tokenizer.h"

#include <doctest/doctest.h>

#include "support_vocabulary.h"

namespace {

using namespace hearth;
using Words = std::vector<std::string>;

PreTokenizer make(std::string_view name) {
  const auto rules = find_pre_tokenizer_rules(name);
  REQUIRE(rules.has_value());
  auto made = PreTokenizer::create(*rules);
  REQUIRE_MESSAGE(made.has_value(), made.error().message);
  return std::move(*made);
}

Words words(std::string_view name, std::string_view text) {
  Words out;
  size_t begin = 0;
  for (const uint32_t end : make(name).split(text)) {
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

}  // namespace

TEST_CASE("pre-tokenizer: gpt-2") {
  CHECK(words("gpt-2", "Hello, it's 2024  x\n\n y") ==
        Words{"Hello", ",", " it", "'s", " 2024", " ", " x", "\n\n", " y"});
  CHECK(words("gpt-2", "IT'S \t x") == Words{"IT", "'", "S", " \t", " x"});
  CHECK(words("gpt-2", "a\tb") == Words{"a", "\t", "b"});
}

TEST_CASE("pre-tokenizer: llama-bpe and qwen2") {
  CHECK(words("llama-bpe", "IT'S 12345 (a)\n\n x!\n") ==
        Words{"IT", "'S", " ", "123", "45", " (", "a", ")\n\n", " x", "!\n"});
  CHECK(words("qwen2", "123 \n a") == Words{"1", "2", "3", " \n", " a"});
  CHECK(words("llama-bpe", "naïve Größe") == Words{"naïve", " Größe"});
  CHECK(words("llama-bpe", "e\u0301a") == Words{"e", "\u0301a"});
}

TEST_CASE("pre-tokenizer: gpt-4o and tekken cut at a capital letter") {
  CHECK(words("gpt-4o", "camelCaseTEXT's ПриветМир e\u0301a") ==
        Words{"camel", "Case", "TEXT's", " Привет", "Мир", " e\u0301a"});
  CHECK(words("tekken", "fooBar's 123") == Words{"foo", "Bar", "'s", " ", "1", "2", "3"});
  CHECK(words("gpt-4o", "a/b //\n") == Words{"a", "/b", " //\n"});
}

TEST_CASE("pre-tokenizer: families of several patterns") {
  CHECK(words("starcoder", "ab 123") == Words{"ab", " ", "1", "2", "3"});
  CHECK(words("falcon", "a==12345") == Words{"a", "==", "123", "45"});
  CHECK(words("deepseek-coder", "a = 12\n世界") == Words{"a", " = ", "1", "2", "\n", "世界"});
  CHECK(words("deepseek-v3", "12345中文abc.com  x") ==
        Words{"123", "45", "中文", "abc", ".com", " ", " x"});
  CHECK(words("deepseek-llm", "Hi there!  ") == Words{"Hi", " there", "!", "  "});
  CHECK(words("bloom", "Hi, you") == Words{"Hi", ",", " you"});
  CHECK(words("chameleon", "a  1!b") == Words{"a", "  ", "1", "!", "b"});
}

TEST_CASE("pre-tokenizer: white space is Unicode's White_Space") {
  CHECK(expand_white_space(R"(\s+(?!\S)|[^\s\]x])") ==
        R"([\t-\r\x{85}\p{Z}]+(?![^\t-\r\x{85}\p{Z}])|[^\t-\r\x{85}\p{Z}\]x])");
  // U+0085 and U+3000 are white space, U+180E and U+200B are not.
  CHECK(words("gpt-2", "a\u0085\u3000") == Words{"a", "\u0085\u3000"});
  CHECK(words("gpt-2", "!\u180E\u200B!") == Words{"!\u180E\u200B!"});
}

TEST_CASE("pre-tokenizer: classes beyond the first plane") {
  CHECK(words("gpt-2", "\U00010400\U0001D7CE\U0001F600") ==
        Words{"\U00010400", "\U0001D7CE", "\U0001F600"});
  CHECK(words("llama-bpe", "\U00020000\U0002A6D6!") == Words{"\U00020000\U0002A6D6", "!"});
}

TEST_CASE("pre-tokenizer: bytes that are not UTF-8 are neither letters nor spaces") {
  CHECK(words("gpt-2", "ab\xFF\xC3 c") == Words{"ab", "\xFF\xC3", " c"});
  CHECK(words("gpt-2", "\xED\xA0\x80") == Words{"\xED\xA0\x80"});
}

TEST_CASE("pre-tokenizer: every family covers every text, word by word") {
  test::Random random(9);
  for (const PreTokenizerRules& rules : all_pre_tokenizer_rules()) {
    CAPTURE(rules.name);
    const PreTokenizer pre_tokenizer = make(rules.name);
    CHECK(pre_tokenizer.split("").empty());
    for (int i = 0; i < 60; ++i) {
      const std::string text =
          i % 3 == 0 ? test::random_bytes(random, 200) : test::random_text(random, 80);
      uint32_t last = 0;
      bool rising = true;
      for (const uint32_t end : pre_tokenizer.split(text)) {
        rising = rising && end > last;
        last = end;
      }
      CHECK(rising);
      CHECK(last == text.size());
    }
  }
}

TEST_CASE("pre-tokenizer: long runs are cut in one go") {
  // Each of these would take hours if a pattern were tried again from every character.
  for (const PreTokenizerRules& rules : all_pre_tokenizer_rules()) {
    CAPTURE(rules.name);
    const PreTokenizer pre_tokenizer = make(rules.name);
    for (const std::string unit : {" ", "\n", "A", "\u0301"}) {
      std::string text;
      while (text.size() < 300'000) text += unit;
      CHECK(pre_tokenizer.split(text + "世").back() == text.size() + 3);
    }
  }
}

TEST_CASE("pre-tokenizer: an unknown name lists the known ones") {
  const auto rules = find_pre_tokenizer_rules("no-such");
  REQUIRE_FALSE(rules.has_value());
  CHECK(rules.error().message.contains("tokenizer.ggml.pre is 'no-such'"));
  CHECK(rules.error().message.contains("llama-bpe"));
}
