// Files of 2023 against GGUF files with the same weights.

#include "engine/legacy/legacy_parser.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "engine/tokenizer/tokenizer.h"
#include "tests/support/legacy_writer.h"
#include "tests/support/model_logits.h"
#include "tests/support/spm_model.h"

namespace hearth {
namespace {

using testing::legacy_bytes;
using testing::LegacyKind;

const std::vector<LegacyKind> kKinds = {
    {"ggml", 0}, {"ggmf", 1}, {"ggjt", 1}, {"ggjt", 2}, {"ggjt", 3}};

std::filesystem::path twin(const std::string& type) { return testing::spm_model(type); }

std::filesystem::path written(const std::string& type, const LegacyKind& kind) {
  const auto gguf = ModelFile::open(twin(type));
  REQUIRE(gguf.has_value());
  const auto path =
      twin(type).parent_path() / (kind.name + std::to_string(kind.version) + "-" + type + ".bin");
  testing::write_file(path, legacy_bytes(**gguf, kind));
  return path;
}

std::string message_of(const std::string& bytes) {
  const auto parsed = parse_legacy("old.bin", std::as_bytes(std::span(bytes)));
  REQUIRE_FALSE(parsed.has_value());
  CHECK(parsed.error().message.find('\n') == std::string::npos);
  return parsed.error().message;
}

std::string sample() {
  const auto gguf = ModelFile::open(twin("f32"));
  return legacy_bytes(**gguf, {"ggjt", 3});
}

}  // namespace

TEST_CASE("every container gives the tensors, sizes and tokens of the GGUF file") {
  const auto gguf = ModelFile::open(twin("f32"));
  REQUIRE(gguf.has_value());
  const auto tokenizer = Tokenizer::create((*gguf)->metadata());
  for (const LegacyKind& kind : kKinds) {
    CAPTURE(kind.name);
    CAPTURE(kind.version);
    const auto legacy = ModelFile::open(written("f32", kind));
    REQUIRE_MESSAGE(legacy.has_value(), (legacy ? "" : legacy.error().message));
    CHECK((*legacy)->format() == kind.name);
    CHECK((*legacy)->version() == kind.version);
    REQUIRE((*legacy)->tensors().size() == (*gguf)->tensors().size());
    for (const TensorInfo& expected : (*gguf)->tensors()) {
      const TensorInfo* tensor = (*legacy)->find_tensor(expected.name);
      REQUIRE_MESSAGE(tensor != nullptr, expected.name);
      CHECK(tensor->dims == expected.dims);
      REQUIRE(tensor->bytes == expected.bytes);
      CHECK(std::equal(tensor->data, tensor->data + tensor->bytes, expected.data));
      if (tensor->num_dims == 1) CHECK(reinterpret_cast<uintptr_t>(tensor->data) % 4 == 0);
    }
    for (const char* key : {"llama.embedding_length", "llama.feed_forward_length",
                            "llama.block_count", "llama.attention.head_count",
                            "llama.attention.head_count_kv", "llama.rope.dimension_count"})
      CHECK_MESSAGE((*legacy)->metadata().u32(key).value() == (*gguf)->metadata().u32(key).value(),
                    key);
    const auto old_tokenizer = Tokenizer::create((*legacy)->metadata());
    REQUIRE(old_tokenizer.has_value());
    for (const std::string text :
         {"the time of the other", " two  blanks\n", "caf\xC3\xA9 \xF0\x9F\x98\x80"}) {
      const auto ids = (*old_tokenizer)->encode(text, {.add_special = false});
      // Without scores the order of ids decides, as in the vocabulary of these models.
      if (kind.version > 0) CHECK(ids == (*tokenizer)->encode(text, {.add_special = false}));
      CHECK((*old_tokenizer)->decode(ids, false) == text);
    }
  }
}

TEST_CASE("the logits are those of the GGUF file, bit for bit, aligned or not") {
  for (const std::string isa : {"ref", "auto"}) {
    for (const std::string type : {"f32", "f16", "q4_0", "q4_1", "q8_0"}) {
      const auto expected = testing::model_logits(twin(type), isa);
      for (const LegacyKind& kind : kKinds)
        CHECK_MESSAGE(testing::model_logits(written(type, kind), isa) == expected, kind.name,
                      kind.version, " ", type, " ", isa);
    }
  }
  for (const std::string type : {"q5_0", "q5_1", "q4_k", "q6_k"})
    CHECK_MESSAGE(
        testing::model_logits(written(type, {"ggjt", 3})) == testing::model_logits(twin(type)),
        type);
}

TEST_CASE("what is wrong is named") {
  const std::string sound = sample();
  const auto mentions = [](const std::string& message, std::string_view part) {
    CHECK_MESSAGE(message.find(part) != std::string::npos, message);
  };
  const auto with_u32 = [&](size_t at, uint32_t value) {
    std::string bytes = sound;
    std::memcpy(bytes.data() + at, &value, sizeof(value));
    return bytes;
  };
  mentions(message_of(sound.substr(0, 6)), "version at byte 4 needs 4 bytes");
  mentions(message_of(with_u32(4, 4)), "version: 4 of ggjt, expected 1 to 3");
  mentions(message_of(with_u32(8, 0xFFFFFFFF)), "n_vocab: 4294967295, expected at most");
  mentions(message_of(with_u32(12, 0)), "n_embd: 0, expected 1 to");
  mentions(message_of(with_u32(20, 3)), "n_head: 3, expected a divisor of n_embd");
  mentions(message_of(with_u32(12, 128)), "one part of a model in several files");
  mentions(message_of(with_u32(36, 0x7FFFFFFF)), "token 0 of 512: goes beyond the end");
  mentions(message_of(sound.substr(0, sound.size() - 1)), "truncated or damaged");
  mentions(message_of(sound + "x"), "tensor header at byte");
  const size_t name = sound.find("tok_embeddings.weight");
  mentions(message_of(with_u32(name - 12, 4)), "q4_2, withdrawn");
  mentions(message_of(with_u32(name - 12, 1'000'000)), "type: 1000000 (unknown)");
  mentions(message_of(with_u32(name - 20, 9)), "number of dimensions: 9, expected 1 or 2");
  mentions(message_of(with_u32(name - 16, 4000)), "name length: 4000, expected at most");
  mentions(message_of(with_u32(name - 8, 0)), "dimension 0: 0, expected 1 to");
}

TEST_CASE("the files of another tool give the bits of their GGUF twins") {
  const std::filesystem::path formats = "../shared/vectors/formats";
  if (!std::filesystem::exists(formats)) {
    MESSAGE("../shared/vectors is not here: files of other tools were not tested");
    return;
  }
  const std::filesystem::path base = formats.parent_path() / "models/fmt-base-f32.gguf";
  const std::filesystem::path q4_0 = formats / "legacy-twin-q4_0.gguf";
  const std::vector<std::pair<std::string, std::filesystem::path>> pairs = {
      {"ggml-f32", base},     {"ggmf-v1-f16", formats / "legacy-twin-f16.gguf"},
      {"ggjt-v1-f32", base},  {"ggjt-v1-f16", formats / "legacy-twin-f16.gguf"},
      {"ggjt-v3-f32", base},  {"ggjt-v3-f16", formats / "legacy-twin-f16.gguf"},
      {"ggjt-v1-q4_0", q4_0}, {"ggjt-v2-q4_0", q4_0},
      {"ggjt-v3-q4_0", q4_0}, {"ggjt-v3-q8_0", formats / "legacy-twin-q8_0.gguf"},
  };
  for (const auto& [name, gguf] : pairs)
    CHECK_MESSAGE(
        testing::model_logits(formats / ("legacy-" + name + ".bin")) == testing::model_logits(gguf),
        name);
}

}  // namespace hearth
