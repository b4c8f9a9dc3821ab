// Vocabularies that contradict themselves, and the tokens with a role.

#include <doctest/doctest.h>

#include <cmath>

#include "support_vocabulary.h"

namespace {

using namespace hearth;
using test::create_error;
using test::MetadataBuilder;
using test::TestToken;
using Ids = std::vector<TokenId>;
using Strings = std::vector<std::string>;

const Strings kTexts = {"<unk>", "<s>", "</s>", "a"};
const std::vector<float> kScores = {0, 0, 0, -1};
const std::vector<int32_t> kTypes = {2, 3, 3, 1};

/// A "llama" vocabulary of the given arrays.
MetadataBuilder llama(const Strings& texts, const std::vector<float>& scores,
                      const std::vector<int32_t>& types) {
  MetadataBuilder builder;
  builder.set_string("tokenizer.ggml.model", "llama")
      .set_strings("tokenizer.ggml.tokens", texts)
      .set_f32s("tokenizer.ggml.scores", scores)
      .set_i32s("tokenizer.ggml.token_type", types);
  return builder;
}

}  // namespace

TEST_CASE("vocabulary: errors name the key") {
  CHECK(create_error(MetadataBuilder().metadata()).contains("tokenizer.ggml.model"));
  MetadataBuilder bert;
  bert.set_string("tokenizer.ggml.model", "bert");
  CHECK(create_error(bert.metadata()).contains("tokenizer.ggml.model is 'bert'"));
  CHECK(create_error(llama({}, {}, {}).metadata()).contains("tokenizer.ggml.tokens has 0"));
  CHECK(create_error(llama(kTexts, {0, 0}, kTypes).metadata())
            .contains("tokenizer.ggml.scores has 2 elements, expected 4"));
  CHECK(create_error(llama(kTexts, kScores, {2, 3, 3}).metadata())
            .contains("tokenizer.ggml.token_type has 3 elements, expected 4"));
  CHECK(create_error(llama(kTexts, kScores, {2, 3, 3, 7}).metadata())
            .contains("tokenizer.ggml.token_type[3] is 7"));
  CHECK(create_error(llama(kTexts, {0, 0, NAN, 0}, kTypes).metadata())
            .contains("tokenizer.ggml.scores[2]"));
  CHECK(create_error(llama({std::string(5000, 'x')}, {0}, {1}).metadata())
            .contains("tokenizer.ggml.tokens[0] has 5000 bytes"));
  MetadataBuilder no_scores;
  no_scores.set_string("tokenizer.ggml.model", "llama")
      .set_strings("tokenizer.ggml.tokens", kTexts);
  CHECK(create_error(no_scores.metadata()).contains("tokenizer.ggml.scores"));
}

TEST_CASE("vocabulary: ids with a role are inside it") {
  for (const std::string key : {"bos", "eos", "unknown", "eot"}) {
    const std::string name = "tokenizer.ggml." + key + "_token_id";
    auto outside = llama(kTexts, kScores, kTypes);
    outside.set(name, uint64_t{4});
    CHECK(create_error(outside.metadata()).contains(name + " is 4, expected less than 4"));
    auto none = llama(kTexts, kScores, kTypes);
    none.set(name, uint64_t{UINT32_MAX});
    CHECK(test::make_tokenizer(none.metadata())->vocab_size() == 4);
  }
}

TEST_CASE("vocabulary: merges are pairs of texts") {
  for (const std::string bad : {"ab", "", " ", "a "}) {
    MetadataBuilder builder;
    const Strings merges = {"a b", bad};
    builder.set_string("tokenizer.ggml.model", "gpt2")
        .set_strings("tokenizer.ggml.tokens", Strings{"a", "b", "ab"})
        .set_strings("tokenizer.ggml.merges", merges);
    CHECK(create_error(builder.metadata()).contains("tokenizer.ggml.merges[1]"));
  }
  MetadataBuilder missing;
  missing.set_string("tokenizer.ggml.model", "gpt2")
      .set_strings("tokenizer.ggml.tokens", Strings{"a", "b"});
  CHECK(create_error(missing.metadata()).contains("tokenizer.ggml.merges"));
}

TEST_CASE("vocabulary: defaults of the llama kind") {
  const auto builder = llama(kTexts, kScores, kTypes);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->eos() == 2);
  CHECK(tokenizer->is_special(0));
  CHECK_FALSE(tokenizer->is_special(3));
  CHECK_FALSE(tokenizer->is_special(-1));
  CHECK(tokenizer->token_text(99).empty());
  CHECK(tokenizer->end_of_generation() == Ids{2});
}

TEST_CASE("vocabulary: of two tokens of one text plain text becomes the last plain one") {
  const auto builder = llama({"<unk>", "<s>", "</s>", "▁", "a", "a", "a"}, {0, 0, 0, 0, -1, -2, 0},
                             {2, 3, 3, 1, 1, 1, 3});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->encode("a", {.add_special = false, .parse_special = false}) == Ids{3, 5});
}

TEST_CASE("vocabulary: what ends a generation") {
  MetadataBuilder builder;
  const std::vector<TestToken> specials = {{"<|im_end|>", 0, 4},
                                           {"<|eot_id|>", 0, 3},
                                           {"<end>", 0, 3},
                                           {"<|endoftext|>", 0, 3},
                                           {"<other>", 0, 3}};
  test::add_byte_level(builder, "qwen2", {}, specials);
  builder.set("tokenizer.ggml.eos_token_id", uint64_t{259})
      .set("tokenizer.ggml.eot_token_id", uint64_t{258});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  CHECK(tokenizer->end_of_generation() == Ids{256, 257, 258, 259});
  // Written as user-defined, but its text says what it is: only parsing recognises it.
  CHECK(tokenizer->is_special(256));
  CHECK(tokenizer->encode("<|im_end|>", {}).size() == 10);
}

TEST_CASE("vocabulary: <|end|> only ends a message where there is a token that ends the answer") {
  MetadataBuilder channels, plain;
  test::add_byte_level(
      channels, "gpt-4o", {},
      std::vector<TestToken>{{"<|end|>", 0, 3}, {"<|return|>", 0, 3}, {"<|call|>", 0, 3}});
  CHECK(test::make_tokenizer(channels.metadata())->end_of_generation() == Ids{257, 258});
  test::add_byte_level(plain, "gpt-4o", {}, std::vector<TestToken>{{"<|end|>", 0, 3}});
  CHECK(test::make_tokenizer(plain.metadata())->end_of_generation() == Ids{256});
}

TEST_CASE("special tokens: the longest at the leftmost place") {
  MetadataBuilder builder;
  const std::vector<TestToken> specials = {{"<|a|>", 0, 3}, {"<|a|>b", 0, 3}, {"<|", 0, 3},
                                           {"[1]", 0, 3},   {"[12]", 0, 3},   {"", 0, 3}};
  test::add_byte_level(builder, "qwen2", {}, specials);
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  const EncodeOptions parse{.add_special = false, .parse_special = true};
  CHECK(tokenizer->encode("<|a|>b", parse) == Ids{257});
  CHECK(tokenizer->encode("<|a|>c", parse) == Ids{256, 'c'});
  CHECK(tokenizer->encode("<|a|", parse) == Ids{258, 'a', '|'});
  CHECK(tokenizer->encode("x[12][1][", parse) == Ids{'x', 260, 259, '['});
}
