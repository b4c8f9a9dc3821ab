// Files of every format, damaged at random, the same way in every run: each either loads or is
// refused with one line, and none makes the loader hold more memory than twice the model's bytes.
#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "engine/model/model.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/engine/model/support_allocation.h"
#include "tests/support/legacy_writer.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/spm_model.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using Random = std::mt19937_64;  // its numbers are the same everywhere; distributions are not

/// What holds however small a file is: hash tables' first buckets, messages, tables of known names.
constexpr size_t kConstantBytes = 256 << 10;

size_t below(Random& random, size_t count) { return static_cast<size_t>(random() % count); }

uint64_t odd_number(Random& random) {
  constexpr std::array<uint64_t, 10> kOdd = {0,
                                             1,
                                             255,
                                             0x7FFFFFFF,
                                             0x80000000,
                                             0xFFFFFFFF,
                                             0x100000000,
                                             0x7FFFFFFFFFFFFFFF,
                                             0x8000000000000000,
                                             ~uint64_t{0}};
  return below(random, 2) == 0 ? kOdd[below(random, kOdd.size())] : random() >> below(random, 64);
}

/// Numbers, flips and cuts in the first `head` bytes, where everything but weights is.
void damage_binary(std::string& bytes, size_t head, Random& random) {
  head = std::min(head, bytes.size());
  const size_t at = below(random, head);
  switch (below(random, 8)) {
    case 0:
      bytes.resize(1 + below(random, below(random, 2) == 0 ? head : bytes.size()));
      return;
    case 1:
    case 2: {
      const std::string piece = bytes.substr(below(random, head), 1 + below(random, 32));
      bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
      return;
    }
    case 3:
    case 4: {
      const uint64_t number = odd_number(random);
      const size_t width = below(random, 2) == 0 ? 4 : 8;
      std::memcpy(bytes.data() + at, &number, std::min(width, bytes.size() - at));
      return;
    }
    default:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
  }
}

/// Values, brackets, nesting and cuts in a text of JSON.
void damage_text(std::string& text, size_t head, Random& random) {
  constexpr std::array<std::string_view, 14> kPieces = {
      "null",  "[]",          "{}",   "-1",      "18446744073709551616",
      "1e999", "\"\\ud800\"", "\"",   "\\",      "0.5",
      ",",     "\x80",        "true", "99999999"};
  head = std::min(head, text.size());
  const size_t at = below(random, head);
  switch (below(random, 8)) {
    case 0:
      text.resize(1 + below(random, head));
      return;
    case 1:
      text.insert(at, std::string(1 + below(random, 2000), "[{"[below(random, 2)]));
      return;
    case 2:
      text.erase(at, 1 + below(random, 40));
      return;
    case 3:
      text.insert(at, text.substr(below(random, head), 1 + below(random, 200)));
      return;
    case 4:
    case 5: {  // in the place of a value
      const size_t colon = text.find(':', at);
      const size_t end = text.find_first_of(",}]", colon);
      if (colon == std::string::npos || end == std::string::npos) return;
      text.replace(colon + 1, end - colon - 1, kPieces[below(random, kPieces.size())]);
      return;
    }
    case 6:
      text.insert(at, kPieces[below(random, kPieces.size())]);
      return;
    default:
      text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
  }
}

void check_message(const Error& error) {
  CAPTURE(error.message);
  CHECK(error.message.find("damaged") != std::string::npos);
  CHECK(is_valid_utf8(error.message));
  CHECK(std::ranges::none_of(error.message, [](char c) { return c >= 0 && c < ' '; }));
  CHECK(error.message.size() < 8000);
}

struct Outcome {
  size_t models = 0;
  size_t tokenizers = 0;
  size_t refused = 0;
};

/// Opens, describes and tokenizes. Reads the ends of every tensor: a view outside faults.
void load(const fs::path& path, Outcome& outcome) {
  size_t sum = 0;
  const auto model = Model::load(path);
  if (!model.has_value()) {
    ++outcome.refused;
    return check_message(model.error());
  }
  ++outcome.models;
  for (const TensorInfo& tensor : (*model)->file().tensors())
    sum += static_cast<size_t>(tensor.data[0]) + static_cast<size_t>(tensor.data[tensor.bytes - 1]);
  CHECK(sum < SIZE_MAX);
  const auto tokenizer = Tokenizer::create((*model)->file().metadata());
  if (!tokenizer.has_value()) return check_message(tokenizer.error());
  ++outcome.tokenizers;
  const auto ids = (*tokenizer)->encode("Hello the 12 <s>\xC3\xB6", {.parse_special = true});
  for (const TokenId id : ids) CHECK((id >= 0 && id < (*tokenizer)->vocab_size()));
}

/// `rounds` versions of `file`, which is (a part of) the model at `path`; it is as before after.
Outcome load_damaged(const fs::path& path, const fs::path& file, size_t head,
                     void (*damage)(std::string&, size_t, Random&), size_t rounds) {
  std::ifstream in(file, std::ios::binary);
  const std::string sound(std::istreambuf_iterator<char>(in), {});
  size_t rest = 0;  // bytes of the model's other files
  if (path != file)
    for (const auto& entry : fs::directory_iterator(path)) rest += entry.file_size();
  const auto level = spdlog::get_level();
  spdlog::set_level(spdlog::level::off);
  Random random(rounds + sound.size());
  Outcome outcome;
  for (size_t round = 0; round < rounds; ++round) {
    CAPTURE(file.filename().string());
    CAPTURE(round);
    std::string bytes = sound;
    for (size_t left = 1 + below(random, 4) / 3; left > 0 && !bytes.empty(); --left)
      damage(bytes, head, random);
    testing::write_file(file, bytes);
    const testing::AllocationMeter meter;
    load(path, outcome);
    CHECK(meter.peak() < 2 * (sound.size() + rest) + kConstantBytes);
  }
  testing::write_file(file, sound);
  spdlog::set_level(level);
  CHECK(outcome.refused > rounds / 10);
  CHECK(outcome.refused < rounds);
  MESSAGE(file.filename().string(), ": ", rounds, " damaged files, ", outcome.models, " loaded, ",
          outcome.tokenizers, " with a tokenizer");
  return outcome;
}

/// What precedes the weights of a binary file: up to the first matrix of layer 0.
size_t head_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  const size_t at = bytes.find("tok_embeddings.weight");
  return at == std::string::npos ? bytes.size() : at + 32;
}

}  // namespace

TEST_CASE("damaged files of 2023 load or are refused") {
  const auto gguf = ModelFile::open(testing::spm_model("q8_0"));
  REQUIRE(gguf.has_value());
  const std::vector<testing::LegacyKind> kinds = {{"ggml", 0}, {"ggmf", 1}, {"ggjt", 3}};
  for (const auto& kind : kinds) {
    const fs::path path = (*gguf)->path().parent_path() / ("damaged-" + kind.name + ".bin");
    testing::write_file(path, testing::legacy_bytes(**gguf, kind));
    load_damaged(path, path, head_of(path), damage_binary, 1000);
    // Anywhere: the headers of tensors lie between the weights.
    load_damaged(path, path, fs::file_size(path), damage_binary, 1000);
  }
}

TEST_CASE("damaged GGUF files of each version load or are refused") {
  const fs::path path = testing::spm_model("f16").parent_path() / "damaged.gguf";
  const auto source = ModelFile::open(testing::spm_model("f16"));
  for (const uint32_t version : {2U, 3U}) {
    GgufWriter writer(version);
    for (const auto& [key, value] : (*source)->metadata().entries()) writer.add_value(key, value);
    testing::copy_tensors(**source, writer);
    REQUIRE(writer.write(path).has_value());
    load_damaged(path, path, 16 << 10, damage_binary, 1000);
  }
}

TEST_CASE("damaged safetensors folders load or are refused") {
  const auto qwen = ModelFile::open(testing::tiny_model("qwen2", "bf16"));
  const auto spm = ModelFile::open(testing::spm_model("f16"));
  const fs::path folder = (*spm)->path().parent_path() / "damaged-folder";
  testing::write_folder(**qwen, folder, {.shards = 2});
  load_damaged(folder, folder / "config.json", SIZE_MAX, damage_text, 500);
  load_damaged(folder, folder / "tokenizer.json", SIZE_MAX, damage_text, 500);
  load_damaged(folder, folder / "tokenizer_config.json", SIZE_MAX, damage_text, 500);
  load_damaged(folder, folder / "model.safetensors.index.json", SIZE_MAX, damage_text, 500);
  const fs::path shard = folder / "model-00001-of-00002.safetensors";
  load_damaged(folder, shard, 2500, damage_binary, 500);
  load_damaged(folder, shard, 2500, damage_text, 500);
  const fs::path other = (*spm)->path().parent_path() / "damaged-spm";
  testing::write_folder(**spm, other);
  load_damaged(other, other / "tokenizer.json", SIZE_MAX, damage_text, 500);
  load_damaged(other, other / "model.safetensors", 2500, damage_text, 500);
}

}  // namespace hearth
