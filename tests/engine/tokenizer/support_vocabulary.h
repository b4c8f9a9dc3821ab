#pragma once
// Metadata of small vocabularies, made in memory, for the tokenizer's tests.

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace hearth::test {

/// Keys and values as a model file would hold them. Must outlive the tokenizers made from it.
class MetadataBuilder {
 public:
  MetadataBuilder& set(std::string_view key, MetaValue value);
  MetadataBuilder& set_string(std::string_view key, std::string_view value);
  MetadataBuilder& set_strings(std::string_view key, std::span<const std::string> values);
  MetadataBuilder& set_i32s(std::string_view key, std::span<const int32_t> values);
  MetadataBuilder& set_f32s(std::string_view key, std::span<const float> values);

  [[nodiscard]] const Metadata& metadata() const { return metadata_; }

 private:
  std::string_view keep(std::string_view bytes);
  void set_array(std::string_view key, MetaType type, uint64_t count, std::string_view bytes);

  std::deque<std::string> kept_;
  Metadata metadata_;
};

/// A token of a small vocabulary.
struct TestToken {
  std::string text;
  float score = 0;
  int32_t type = 1;
};

/// "llama": <unk> 0, <s> 1, </s> 2, 256 byte tokens from 3 on, then `tokens`.
void add_sentencepiece(MetadataBuilder& builder, std::span<const TestToken> tokens);
/// "gpt2" with `pre`: 256 bytes in byte order, the texts that `merges` make, then `specials`.
void add_byte_level(MetadataBuilder& builder, std::string_view pre,
                    std::span<const std::string> merges, std::span<const TestToken> specials);

/// The tokenizer, which must come to be.
std::unique_ptr<Tokenizer> make_tokenizer(const Metadata& metadata);
/// The message of the error with which it does not come to be.
std::string create_error(const Metadata& metadata);

/// Deterministic random numbers (splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  size_t below(size_t limit) { return static_cast<size_t>(next() % limit); }

 private:
  uint64_t state_;
};

/// Random bytes, half of them from a text-like set, so that words and UTF-8 characters appear.
std::string random_bytes(Random& random, size_t max_length);
/// Random characters of many classes and planes; valid UTF-8.
std::string random_text(Random& random, size_t max_chars);

}  // namespace hearth::test
