#include "server/gateway/text_stream.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "tests/support/fake_tokenizer.h"

namespace hearth {
namespace {

using testing::FakeTokenizer;

struct Outcome {
  std::string text;
  bool stopped = false;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// The definition, on the whole text: the occurrence that ends first, then the longest.
Outcome cut_offline(const std::string& text, const std::vector<std::string>& stops) {
  size_t best_end = std::string::npos;
  size_t best_start = 0;
  for (const std::string& stop : stops) {
    const size_t start = stop.empty() ? std::string::npos : text.find(stop);
    if (start == std::string::npos) continue;
    const size_t end = start + stop.size();
    if (end < best_end || (end == best_end && start < best_start)) {
      best_end = end;
      best_start = start;
    }
  }
  if (best_end == std::string::npos) return {text, false};
  return {text.substr(0, best_start), true};
}

// Feeds the tokens and checks what holds after each: whole characters, nothing that begins a stop.
Outcome stream(const FakeTokenizer& tokenizer, const std::vector<TokenId>& ids,
               const std::vector<std::string>& stops) {
  TextStream out(tokenizer, stops);
  Outcome outcome;
  for (const TokenId id : ids) {
    const std::string piece = out.push(id);
    CHECK(is_valid_utf8(piece));
    outcome.text += piece;
    CHECK(out.released_bytes() == outcome.text.size());
    CHECK(out.released_bytes() <= out.decoded_bytes());
  }
  outcome.text += out.finish();
  outcome.stopped = out.stopped();
  CHECK(out.released_bytes() == outcome.text.size());
  return outcome;
}

std::vector<TokenId> bytes_of(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  return ids;
}

TEST_CASE("without stop strings text flows as soon as its characters are whole") {
  const FakeTokenizer tokenizer;
  TextStream out(tokenizer, {});
  CHECK(out.push('a') == "a");
  CHECK(out.push(0xC3).empty());
  CHECK(out.push(0xA9) == "é");
  CHECK(out.push(0xE2).empty());
  CHECK(out.finish() == "\uFFFD");
  CHECK_FALSE(out.stopped());
}

TEST_CASE("special tokens give no text") {
  const FakeTokenizer tokenizer;
  TextStream out(tokenizer, {"<|end|>"});
  CHECK(out.push('a') == "a");
  CHECK(out.push(FakeTokenizer::kTurnEnd).empty());
  CHECK_FALSE(out.stopped());
  CHECK(out.push('b') == "b");
}

TEST_CASE("a stop string is found across tokens and nothing of it is given out") {
  const FakeTokenizer tokenizer;
  TextStream out(tokenizer, {"STOP"});
  CHECK(out.push('x') == "x");
  CHECK(out.push('S').empty());
  CHECK(out.push('T').empty());
  CHECK(out.push('O').empty());
  CHECK(out.push('P').empty());
  CHECK(out.stopped());
  CHECK(out.push('y').empty());
  CHECK(out.finish().empty());
  CHECK(out.released_bytes() == 1);
}

TEST_CASE("what looked like a stop string is given out when it turns out not to be one") {
  const FakeTokenizer tokenizer;
  TextStream out(tokenizer, {"STOP"});
  CHECK(out.push('S').empty());
  CHECK(out.push('T').empty());
  CHECK(out.push('S') == "ST");
  CHECK(out.finish() == "S");
}

TEST_CASE("text before a stop string inside one token is given out") {
  const FakeTokenizer tokenizer;
  TextStream out(tokenizer, {"ll"});
  CHECK(out.push(FakeTokenizer::kFirstWord) == "he");
  CHECK(out.stopped());
}

TEST_CASE("overlapping and nested stop strings") {
  const FakeTokenizer tokenizer;
  const auto run = [&](std::string_view text, const std::vector<std::string>& stops) {
    return stream(tokenizer, bytes_of(text), stops);
  };
  CHECK(run("xabcd", {"abcd", "bc"}) == Outcome{"xa", true});  // bc ends first
  CHECK(run("xabc", {"bc", "abc"}) == Outcome{"x", true});     // both end: the longest
  CHECK(run("aabaab", {"aabaab"}) == Outcome{"", true});
  CHECK(run("aabaaabaab", {"aabaab"}) == Outcome{"aaba", true});
  CHECK(run("\n\nUser:", {"\n\nUser:", "\n\nBot:"}) == Outcome{"", true});
  CHECK(run("no", {""}) == Outcome{"no", false});
}

TEST_CASE("a stop string of several-byte characters, one of them shared with other text") {
  const FakeTokenizer tokenizer;
  CHECK(stream(tokenizer, bytes_of("aèé"), {"é"}) == Outcome{"aè", true});
  CHECK(stream(tokenizer, bytes_of("a\xE2\x82"), {"\uFFFD"}) == Outcome{"a", true});
  CHECK(stream(tokenizer, {0xF0, 0x9F, 0x98, 0x80, '!'}, {"😀!"}) == Outcome{"", true});
}

TEST_CASE("any tokens and any stop strings give what matching on the whole text gives") {
  const FakeTokenizer tokenizer;
  std::mt19937 random(20261122);
  const auto pick = [&](size_t below) { return static_cast<size_t>(random() % below); };
  const std::vector<std::string> alphabet{"a", "b", "ab", "é", "è", "€", "\n"};
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> stops(pick(4));
    for (std::string& stop : stops) {
      for (size_t length = 1 + pick(4); length > 0; --length) stop += alphabet[pick(4 + pick(4))];
    }
    std::string raw;
    for (size_t length = pick(30); length > 0; --length) raw += alphabet[pick(alphabet.size())];
    if (pick(4) == 0) raw.insert(pick(raw.size() + 1), 1, static_cast<char>(0x80 + pick(128)));

    // Bytes one by one, and greedy tokens: "\xE2\x82" is one token, so "€" comes in two ways.
    const std::vector<TokenId> whole = tokenizer.encode(raw, {.add_special = false});
    const Outcome from_bytes = stream(tokenizer, bytes_of(raw), stops);
    CHECK(from_bytes == stream(tokenizer, whole, stops));
    CHECK(from_bytes == cut_offline(stream(tokenizer, whole, {}).text, stops));
  }
}

}  // namespace
}  // namespace hearth
