#include "support_vocabulary.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>

#include "base/utf8.h"
#include "engine/tokenizer/byte_level.h"

namespace hearth::test {

namespace {

template <typename T>
std::string bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

}  // namespace

std::string_view MetadataBuilder::keep(std::string_view bytes) { return kept_.emplace_back(bytes); }

MetadataBuilder& MetadataBuilder::set(std::string_view key, MetaValue value) {
  REQUIRE(metadata_.insert(keep(key), std::move(value)));
  return *this;
}

MetadataBuilder& MetadataBuilder::set_string(std::string_view key, std::string_view value) {
  return set(key, keep(value));
}

void MetadataBuilder::set_array(std::string_view key, MetaType type, uint64_t count,
                                std::string_view bytes) {
  const std::string_view kept = keep(bytes);
  set(key, MetaArray{type, count, std::as_bytes(std::span(kept.data(), kept.size()))});
}

MetadataBuilder& MetadataBuilder::set_strings(std::string_view key,
                                              std::span<const std::string> values) {
  std::string bytes;
  for (const std::string& value : values) {
    const std::array<uint64_t, 1> length{value.size()};
    bytes += bytes_of(std::span<const uint64_t>(length));
    bytes += value;
  }
  set_array(key, MetaType::kString, values.size(), bytes);
  return *this;
}

MetadataBuilder& MetadataBuilder::set_i32s(std::string_view key, std::span<const int32_t> values) {
  set_array(key, MetaType::kI32, values.size(), bytes_of(values));
  return *this;
}

MetadataBuilder& MetadataBuilder::set_f32s(std::string_view key, std::span<const float> values) {
  set_array(key, MetaType::kF32, values.size(), bytes_of(values));
  return *this;
}

void add_sentencepiece(MetadataBuilder& builder, std::span<const TestToken> tokens) {
  std::vector<TestToken> all = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    all.push_back({std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">", 0, 6});
  }
  all.insert(all.end(), tokens.begin(), tokens.end());
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;
  for (const TestToken& token : all) {
    texts.push_back(token.text);
    scores.push_back(token.score);
    types.push_back(token.type);
  }
  builder.set_string("tokenizer.ggml.model", "llama")
      .set_strings("tokenizer.ggml.tokens", texts)
      .set_f32s("tokenizer.ggml.scores", scores)
      .set_i32s("tokenizer.ggml.token_type", types);
}

void add_byte_level(MetadataBuilder& builder, std::string_view pre,
                    std::span<const std::string> merges, std::span<const TestToken> specials) {
  std::vector<std::string> texts;
  for (size_t byte = 0; byte < 256; ++byte) {
    append_byte_level(texts.emplace_back(), std::string(1, static_cast<char>(byte)));
  }
  for (const std::string& merge : merges) {
    std::string text = merge;
    text.erase(text.find(' ', 1), 1);
    texts.push_back(text);
  }
  std::vector<int32_t> types(texts.size(), 1);
  for (const TestToken& token : specials) {
    texts.push_back(token.text);
    types.push_back(token.type);
  }
  builder.set_string("tokenizer.ggml.model", "gpt2")
      .set_string("tokenizer.ggml.pre", pre)
      .set_strings("tokenizer.ggml.tokens", texts)
      .set_strings("tokenizer.ggml.merges", merges)
      .set_i32s("tokenizer.ggml.token_type", types);
}

std::unique_ptr<Tokenizer> make_tokenizer(const Metadata& metadata) {
  auto tokenizer = Tokenizer::create(metadata);
  REQUIRE_MESSAGE(tokenizer.has_value(), tokenizer.error().message);
  return std::move(*tokenizer);
}

std::string create_error(const Metadata& metadata) {
  auto tokenizer = Tokenizer::create(metadata);
  REQUIRE_FALSE(tokenizer.has_value());
  return tokenizer.error().message;
}

uint64_t Random::next() {
  state_ += 0x9E3779B97F4A7C15;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

std::string random_bytes(Random& random, size_t max_length) {
  constexpr std::string_view kTextLike =
      "aabcdeT  \n'019.,<|>s\xE2\x96\x81\xC3\xA9\xF0\x9F\x98\x80";
  std::string out(random.below(max_length + 1), '\0');
  for (char& c : out) {
    c = random.below(2) == 0 ? kTextLike[random.below(kTextLike.size())]
                             : static_cast<char>(random.next());
  }
  return out;
}

std::string random_text(Random& random, size_t max_chars) {
  // First code points of stretches of one class each, and their lengths.
  constexpr std::array<std::array<char32_t, 2>, 24> kStretches = {{
      {'a', 26},      {'A', 26},     {'0', 10},     {' ', 1},        {'\t', 5},
      {'!', 15},      {0x80, 128},   {0x2C0, 80},   {0x300, 111},    {0x370, 100},
      {0x410, 64},    {0x5D0, 27},   {0x660, 10},   {0x905, 80},     {0x1C4, 9},
      {0x2000, 112},  {0x2150, 64},  {0x3000, 255}, {0x4E00, 20992}, {0xAC00, 11172},
      {0xFF00, 0xF0}, {0x10400, 80}, {0x1D7CE, 50}, {0x1F300, 900},
  }};
  std::string out;
  const size_t count = random.below(max_chars + 1);
  size_t stretch = 0;
  for (size_t i = 0; i < count; ++i) {
    if (i == 0 || random.below(3) == 0) stretch = random.below(kStretches.size());
    const auto [first, length] = kStretches[stretch];
    append_utf8(out, first + static_cast<char32_t>(random.below(length)));
  }
  return out;
}

}  // namespace hearth::test
