#include <doctest/doctest.h>

#include "base/utf8.h"
#include "support_vocabulary.h"

namespace {

using namespace hearth;
using test::MetadataBuilder;

}  // namespace

TEST_CASE("stream decoder: holds a character back until it is whole") {
  MetadataBuilder builder;
  test::add_byte_level(builder, "gpt-2", {}, std::vector<test::TestToken>{{"<|x|>", 0, 3}});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  StreamDecoder decoder(*tokenizer, false);
  CHECK(decoder.push('a') == "a");
  CHECK(decoder.push(0xF0).empty());
  CHECK(decoder.push(0x9F).empty());
  CHECK(decoder.push(0x98).empty());
  CHECK(decoder.push(256).empty());  // a special token adds nothing
  CHECK(decoder.push(0x80) == "\U0001F600");
  CHECK(decoder.push(0xE2).empty());
  CHECK(decoder.push('b') == "\uFFFDb");
  CHECK(decoder.push(0xFF) == "\uFFFD");
  CHECK(decoder.push(0xE2).empty());
  CHECK(decoder.push(0x82).empty());
  CHECK(decoder.flush() == "\uFFFD");
  CHECK(decoder.flush().empty());
  CHECK(StreamDecoder(*tokenizer, true).push(256) == "<|x|>");
}

TEST_CASE("stream decoder: the pieces are the whole, made valid") {
  MetadataBuilder builder;
  const std::vector<std::string> merges = {"Ã ©", "ð Ł", "ðŁ ĺ", "Ģ a"};
  test::add_byte_level(builder, "gpt-2", merges, {});
  const auto tokenizer = test::make_tokenizer(builder.metadata());
  test::Random random(17);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids(random.below(30));
    for (TokenId& id : ids) {
      // Half of them from a few bytes that make characters with each other.
      constexpr std::array<TokenId, 8> kOften = {0xF0, 0x9F, 0x98, 0x80, 0xC3, 0xE2, 'a', 258};
      id = random.below(2) == 0 ? kOften[random.below(kOften.size())]
                                : static_cast<TokenId>(random.below(260));
    }
    std::string whole, pieces;
    StreamDecoder decoder(*tokenizer, false);
    bool valid = true;
    for (const TokenId id : ids) {
      whole += tokenizer->token_bytes(id, false);
      const std::string piece = decoder.push(id);
      valid = valid && is_valid_utf8(piece);
      pieces += piece;
    }
    pieces += decoder.flush();
    CHECK(valid);
    CHECK(pieces == sanitize_utf8(whole));
  }
}
