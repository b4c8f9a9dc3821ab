// Model files whose metadata and tensor table are damaged at random, the same way in every run:
// each either loads or is refused with one line, and none costs more memory than its size allows.
#include <doctest/doctest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "engine/gguf/model_file.h"
#include "engine/model/model.h"
#include "engine/synth/gguf_writer.h"
#include "engine/synth/synthetic_model.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/engine/model/support_allocation.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

using namespace std::string_view_literals;
using Random = std::mt19937_64;  // its numbers are the same everywhere; distributions are not

size_t below(Random& random, size_t count) { return static_cast<size_t>(random() % count); }

/// A sound file, and where in it the numbers lie that say how to read the rest.
struct Sound {
  std::string bytes;
  size_t table_end = 0;        // of metadata and tensor table
  std::vector<size_t> fields;  // offsets of counts, lengths, types, values, dimensions, offsets
};

Sound read_sound(const std::filesystem::path& path) {
  Sound sound;
  std::ifstream in(path, std::ios::binary);
  sound.bytes.assign(std::istreambuf_iterator<char>(in), {});
  const auto file = ModelFile::open(path);
  REQUIRE_MESSAGE(file.has_value(), (file.has_value() ? "" : file.error().message));
  const std::string_view all = sound.bytes;
  sound.fields = {4, 8, 16};  // version, number of tensors, number of keys
  const auto add = [&](std::string_view name, std::initializer_list<size_t> after) {
    const std::string length(reinterpret_cast<const char*>(std::array{name.size()}.data()), 8);
    const size_t at = all.find(length + std::string(name));
    REQUIRE(at != std::string_view::npos);
    sound.fields.push_back(at);
    for (const size_t distance : after) sound.fields.push_back(at + 8 + name.size() + distance);
    sound.table_end = std::max(sound.table_end, at + 8 + name.size() + 4 + 4 * 8 + 4 + 8);
  };
  // Behind a key: value type; value or element type; array length; first element.
  for (const auto& [key, value] : (*file)->metadata().entries()) add(key, {0, 4, 8, 16});
  // Behind a name: number of dimensions; the first two; type and offset of a matrix.
  for (const TensorInfo& tensor : (*file)->tensors()) add(tensor.name, {0, 4, 12, 20, 24});
  std::ranges::sort(sound.fields);  // entries() has no order of its own
  return sound;
}

/// Sizes that break sums and products, or are merely wrong.
uint64_t odd_number(Random& random) {
  constexpr std::array<uint64_t, 14> kOdd = {0,
                                             1,
                                             2,
                                             3,
                                             255,
                                             0x7FFFFFFF,
                                             0x80000000,
                                             0xFFFFFFFF,
                                             0x100000000,
                                             0x7FFFFFFF0,
                                             0x7FFFFFFFFFFFFFFF,
                                             0x8000000000000000,
                                             ~uint64_t{0},
                                             ~uint64_t{0} - 7};
  switch (below(random, 3)) {
    case 0:
      return kOdd[below(random, kOdd.size())];
    case 1:
      return below(random, 4096);
    default:
      return random() >> below(random, 64);
  }
}

void overwrite(std::string& bytes, size_t at, const void* data, size_t size) {
  if (at >= bytes.size()) return;
  std::memcpy(bytes.data() + at, data, std::min(size, bytes.size() - at));
}

void damage_once(std::string& bytes, const Sound& sound, Random& random) {
  const size_t anywhere = below(random, sound.table_end);
  switch (below(random, 16)) {
    case 0:
    case 1:
      bytes[anywhere % bytes.size()] ^= static_cast<char>(1 << below(random, 8));
      return;
    case 2:
    case 3:
    case 4: {
      constexpr std::string_view kBytes = "\n\r\x1b \x7f\x80\xff\0"sv;
      // Half of them into names and short strings, which messages quote.
      const size_t near = sound.fields[below(random, sound.fields.size())] + below(random, 24);
      const size_t at = below(random, 2) == 0 ? anywhere : near;
      return overwrite(bytes, at, &kBytes[below(random, kBytes.size())], 1);
    }
    case 5: {
      const std::string piece = sound.bytes.substr(below(random, sound.table_end), 24);
      return overwrite(bytes, anywhere, piece.data(), piece.size());
    }
    case 6:
      bytes.resize(1 + below(random, below(random, 4) == 0 ? bytes.size() : sound.table_end));
      return;
    default: {
      const uint64_t number = odd_number(random);
      const size_t width = below(random, 2) == 0 ? 4 : 8;
      return overwrite(bytes, sound.fields[below(random, sound.fields.size())], &number, width);
    }
  }
}

struct Outcome {
  size_t opened = 0;
  size_t tokenizers = 0;
  size_t models = 0;
  size_t refused = 0;
};

void check_message(const Error& error) {
  CAPTURE(error.message);
  CHECK(error.message.find("damaged") != std::string::npos);
  CHECK(is_valid_utf8(error.message));
  CHECK(std::ranges::none_of(error.message, [](char c) { return c >= 0 && c < ' '; }));
  CHECK(error.message.size() < 1000);
}

/// Reads both ends, so that a view outside the mapping faults.
void touch(const void* data, size_t bytes, size_t& sum) {
  const auto* at = static_cast<const unsigned char*>(data);
  if (bytes > 0) sum += size_t{at[0]} + size_t{at[bytes - 1]};
}

void use(const Tokenizer& tokenizer) {
  constexpr std::string_view kText = "Hello w\xC3\xB6rld, 12 <|im_end|>\xF0\x9F\x98\x80 the</s>";
  const auto ids = tokenizer.encode(kText, {.add_special = true, .parse_special = true});
  for (const TokenId id : ids) CHECK((id >= 0 && id < tokenizer.vocab_size()));
  static_cast<void>(tokenizer.decode(ids, true));
  for (const TokenId id : tokenizer.end_of_generation()) CHECK(id < tokenizer.vocab_size());
}

void use(const Model& model, size_t& sum) {
  touch(model.output_norm().weight, sizeof(float), sum);
  const auto touch_matrix = [&](const LinearWeights& linear) {
    touch(linear.weight.data, linear.weight.row_bytes * static_cast<size_t>(linear.weight.rows),
          sum);
    if (linear.bias != nullptr)
      touch(linear.bias, sizeof(float) * static_cast<size_t>(linear.weight.rows), sum);
  };
  touch_matrix(model.output());
  for (const LayerWeights& w : model.layers()) {
    for (const auto& linear :
         {w.q, w.k, w.v, w.attention_out, w.gate, w.up, w.down, w.experts.router})
      if (linear.present()) touch_matrix(linear);
    for (const auto* matrices : {&w.experts.gate, &w.experts.up, &w.experts.down})
      for (const auto& weight : matrices->weights) touch_matrix({.weight = weight});
  }
}

void load(const std::filesystem::path& path, Outcome& outcome) {
  size_t sum = 0;
  if (const auto file = ModelFile::open(path); file.has_value()) {
    ++outcome.opened;
    for (const TensorInfo& tensor : (*file)->tensors()) touch(tensor.data, tensor.bytes, sum);
    const auto tokenizer = Tokenizer::create((*file)->metadata());
    outcome.tokenizers += tokenizer.has_value();
    if (tokenizer.has_value())
      use(**tokenizer);
    else
      check_message(tokenizer.error());
  }
  const auto model = Model::load(path);
  outcome.models += model.has_value();
  outcome.refused += !model.has_value();
  if (model.has_value())
    use(**model, sum);
  else
    check_message(model.error());
  CHECK(sum < SIZE_MAX);  // the reads above are not idle
}

/// `rounds` damaged versions of the file, each loaded.
Outcome load_damaged(const std::filesystem::path& path, size_t rounds, uint64_t seed) {
  const Sound sound = read_sound(path);
  const std::filesystem::path target = path.parent_path() / "damaged.gguf";
  const auto level = spdlog::get_level();
  spdlog::set_level(spdlog::level::off);
  Random random(seed);
  Outcome outcome;
  for (size_t round = 0; round < rounds; ++round) {
    CAPTURE(round);
    std::string bytes = sound.bytes;
    for (size_t left = 1 + below(random, 4) / 3; left > 0; --left)
      damage_once(bytes, sound, random);
    std::ofstream(target, std::ios::binary | std::ios::trunc) << bytes;
    // A table entry needs less than 32 bytes of memory for each of the file's; three passes.
    const testing::AllocationMeter meter;
    load(target, outcome);
    CHECK(meter.largest() < 32 * sound.bytes.size());
    CHECK(meter.total() < 100 * sound.bytes.size());
  }
  spdlog::set_level(level);
  CHECK(outcome.opened > rounds / 20);
  CHECK(outcome.tokenizers > rounds / 20);
  CHECK(outcome.models > rounds / 20);
  CHECK(outcome.refused > rounds / 4);
  MESSAGE(rounds, " damaged files: ", outcome.models, " models loaded, ", outcome.tokenizers,
          " tokenizers, ", outcome.refused, " models refused");
  return outcome;
}

/// A model of some 100 KB.
std::filesystem::path small_model(const char* arch, const std::filesystem::path& vocab_file = {}) {
  SynthOptions options;
  options.arch = arch;
  options.type = "f32";
  options.layers = 1;
  options.hidden_size = 16;
  options.head_dim = 4;
  options.ffn_size = 32;
  options.vocab_size = 280;
  options.vocab_file = vocab_file;
  const auto path = testing::tiny_model().parent_path() / (std::string("small-") + arch + ".gguf");
  const Status status = write_synthetic_model(options, path);
  REQUIRE_MESSAGE(status.has_value(), (status.has_value() ? "" : status.error().message));
  return path;
}

/// The other kind of vocabulary: bytes, letters and a few pieces, with scores.
std::filesystem::path sentencepiece_vocabulary() {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    tokens.push_back({'<', '0', 'x', kHex[byte / 16], kHex[byte % 16], '>'});
    types.push_back(6);
  }
  for (const char* piece : {"\xE2\x96\x81", "H", "e", "l", "o", "t", "h", "he", "the", "ll", "llo",
                            "\xE2\x96\x81the", "\xE2\x96\x81t", "\xC3\xB6"}) {
    tokens.emplace_back(piece);
    types.push_back(1);
  }
  std::vector<float> scores(tokens.size());
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  GgufWriter writer;
  writer.add_string("tokenizer.ggml.model", "llama");
  writer.add_strings("tokenizer.ggml.tokens", tokens);
  writer.add_f32s("tokenizer.ggml.scores", scores);
  writer.add_i32s("tokenizer.ggml.token_type", types);
  writer.add_u32("tokenizer.ggml.bos_token_id", 1);
  writer.add_u32("tokenizer.ggml.eos_token_id", 2);
  const auto path = testing::tiny_model().parent_path() / "sentencepiece.gguf";
  REQUIRE(writer.write(path).has_value());
  return path;
}

}  // namespace

TEST_CASE("damaged files with a byte-level vocabulary load or are refused in one line") {
  load_damaged(small_model("qwen3"), 1500, 1);
  load_damaged(small_model("llama3"), 1000, 2);
}

TEST_CASE("damaged files of other shapes load or are refused in one line") {
  load_damaged(small_model("gpt-oss"), 1000, 4);   // experts, sinks, biases
  load_damaged(small_model("falcon40b"), 500, 5);  // fused matrices, LayerNorm
  load_damaged(small_model("gemma3"), 500, 6);     // windows by pattern, two RoPEs
  load_damaged(small_model("phi3"), 500, 7);       // longrope
  load_damaged(small_model("gpt2"), 500, 8);       // learned positions
}

TEST_CASE("damaged files with a SentencePiece vocabulary load or are refused in one line") {
  load_damaged(small_model("qwen2", sentencepiece_vocabulary()), 2500, 3);
}

}  // namespace hearth
