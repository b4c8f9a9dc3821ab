#include "engine/synth/builtin_vocab.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "base/utf8.h"

namespace hearth {

TEST_CASE("vocabularies have the size asked for, all bytes and the control tokens") {
  for (const int32_t size : {259, 260, 512, 32000, 151936}) {
    CAPTURE(size);
    const BuiltinVocab vocab = make_builtin_vocab(size);
    REQUIRE(vocab.tokens.size() == static_cast<size_t>(size));
    REQUIRE(vocab.token_types.size() == static_cast<size_t>(size));
    CHECK(std::set<std::string>(vocab.tokens.begin(), vocab.tokens.end()).size() ==
          vocab.tokens.size());
    CHECK(std::ranges::all_of(vocab.tokens, [](const auto& t) { return is_valid_utf8(t); }));
    CHECK(vocab.tokens[static_cast<size_t>(vocab.end_of_text)] == "<|endoftext|>");
    CHECK(vocab.tokens[static_cast<size_t>(vocab.im_start)] == "<|im_start|>");
    CHECK(vocab.tokens[static_cast<size_t>(vocab.im_end)] == "<|im_end|>");
    CHECK(vocab.token_types[static_cast<size_t>(vocab.im_end)] == 3);
    CHECK(std::ranges::count(vocab.token_types, 3) == 3);
    // The bytes come first, each one character.
    for (size_t i = 0; i < 256; ++i)
      CHECK(decode_utf8(vocab.tokens[i]).length == vocab.tokens[i].size());
  }
}

TEST_CASE("every merge joins two tokens into a third that comes later") {
  const BuiltinVocab vocab = make_builtin_vocab(4000);
  std::set<std::string> known(vocab.tokens.begin(), vocab.tokens.begin() + 256);
  for (size_t i = 0; i < vocab.merges.size(); ++i) {
    const size_t space = vocab.merges[i].find(' ');
    REQUIRE(space != std::string::npos);
    const std::string left = vocab.merges[i].substr(0, space);
    const std::string right = vocab.merges[i].substr(space + 1);
    CHECK(known.contains(left));
    CHECK(known.contains(right));
    CHECK(vocab.tokens[256 + i] == left + right);
    known.insert(left + right);
  }
}

TEST_CASE("small vocabularies know common words whole") {
  const BuiltinVocab vocab = make_builtin_vocab(512);
  const auto has = [&](const std::string& text) {
    return std::ranges::find(vocab.tokens, text) != vocab.tokens.end();
  };
  CHECK(has("\u0120the"));
  CHECK(has("\u0120and"));
  CHECK(has("\u0120that"));
  CHECK(has("\u010A"));  // newline
  CHECK(std::ranges::count(vocab.token_types, 5) == 0);
}

TEST_CASE("the smallest vocabulary is bytes and control tokens") {
  CHECK(make_builtin_vocab(kMinBuiltinVocab).merges.empty());
}

}  // namespace hearth
