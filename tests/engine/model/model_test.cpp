#include "engine/model/model.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "engine/model/architecture.h"
#include "engine/synth/gguf_writer.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

using testing::tiny_model;

/// A minimal llama file whose parts a test can bend before it is written.
struct FileSpec {
  std::string architecture = "llama";
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  int64_t hidden = 32;
  int64_t ffn = 64;
  std::string without_tensor = {};  // left out
  std::function<void(GgufWriter&)> extra = [](GgufWriter&) {};
};

std::filesystem::path write(const FileSpec& spec, const char* name) {
  GgufWriter writer;
  const std::string& a = spec.architecture;
  writer.add_string("general.architecture", a);
  writer.add_u32(a + ".block_count", 1);
  writer.add_u32(a + ".context_length", 128);
  writer.add_u32(a + ".embedding_length", static_cast<uint32_t>(spec.hidden));
  writer.add_u32(a + ".feed_forward_length", static_cast<uint32_t>(spec.ffn));
  writer.add_u32(a + ".attention.head_count", spec.heads);
  writer.add_u32(a + ".attention.head_count_kv", spec.kv_heads);
  writer.add_f32(a + ".attention.layer_norm_rms_epsilon", 1e-5F);
  spec.extra(writer);
  const int64_t h = spec.hidden;
  const int64_t kv = h / spec.heads * spec.kv_heads;
  const auto add = [&](const std::string& tensor, std::vector<int64_t> dims) {
    if (tensor == spec.without_tensor) return;
    writer.add_tensor(tensor, DType::kF32, dims, [](int64_t, std::span<std::byte> out) {
      std::memset(out.data(), 0, out.size());
    });
  };
  add("token_embd.weight", {h, 300});
  add("output_norm.weight", {h});
  for (const char* norm : {"attn_norm", "ffn_norm"})
    add(std::string("blk.0.") + norm + ".weight", {h});
  add("blk.0.attn_q.weight", {h, h});
  add("blk.0.attn_k.weight", {h, kv});
  add("blk.0.attn_v.weight", {h, kv});
  add("blk.0.attn_output.weight", {h, h});
  add("blk.0.ffn_gate.weight", {h, spec.ffn});
  add("blk.0.ffn_up.weight", {h, spec.ffn});
  add("blk.0.ffn_down.weight", {spec.ffn, h});
  const std::filesystem::path path = tiny_model().parent_path() / name;
  REQUIRE(writer.write(path).has_value());
  return path;
}

Error load_error(const FileSpec& spec) {
  const auto model = Model::load(write(spec, "broken.gguf"));
  REQUIRE_FALSE(model.has_value());
  CHECK(model.error().message.find("broken.gguf") != std::string::npos);
  return model.error();
}

}  // namespace

TEST_CASE("the Llama family loads with its parts") {
  for (const char* arch : {"llama", "llama3", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(arch);
    const auto model = Model::load(tiny_model(arch));
    REQUIRE_MESSAGE(model.has_value(), (model.has_value() ? "" : model.error().message));
    const LayerWeights& layer = (*model)->layers().front();
    CHECK((layer.q.bias != nullptr) == (std::string_view(arch) == "qwen2"));
    CHECK(layer.q_norm.present() == (std::string_view(arch) == "qwen3"));
    CHECK((*model)->config().ropes.front().style == (std::string_view(arch).starts_with("qwen")
                                                         ? kernels::RopeStyle::kHalves
                                                         : kernels::RopeStyle::kInterleaved));
  }
}

TEST_CASE("tied embeddings: a file without output.weight uses the token embedding") {
  const auto model = Model::load(write({}, "tied.gguf"));
  REQUIRE_MESSAGE(model.has_value(), (model.has_value() ? "" : model.error().message));
  CHECK((*model)->output().weight.data == (*model)->token_embedding().data);
  CHECK((*model)->config().vocab_size == 300);
}

TEST_CASE("an unknown architecture is refused with the list of known ones") {
  const Error error = load_error({.architecture = "mamba"});
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(error.message.find("'mamba'") != std::string::npos);
  for (const Architecture& architecture : architectures())
    CHECK(error.message.find(architecture.name) != std::string::npos);
}

TEST_CASE("files that lie about their shapes are refused by field") {
  CHECK(load_error({.without_tensor = "blk.0.attn_k.weight"}).param == "blk.0.attn_k.weight");
  CHECK(load_error({.without_tensor = "token_embd.weight"}).param == "token_embd.weight");
  CHECK(load_error({.kv_heads = 3}).param == "llama.attention.head_count_kv");
  CHECK(load_error({.heads = 5, .kv_heads = 5}).param == "llama.attention.head_count");
  CHECK(load_error({.extra = [](GgufWriter& w) {
          w.add_u32("llama.attention.key_length", 16);
        }}).param == "blk.0.attn_q.weight");
  CHECK(load_error({.extra = [](GgufWriter& w) {
          w.add_u32("llama.rope.dimension_count", 7);
        }}).param == "llama.rope.dimension_count");
  CHECK(load_error({.architecture = "qwen2",
                    .extra = [](GgufWriter& w) { w.add_u32("qwen2.expert_count", 8); }})
            .code == ErrorCode::kUnsupported);
  CHECK(load_error({.extra = [](GgufWriter& w) { w.add_u32("llama.expert_count", 8); }}).param ==
        "llama.expert_used_count");
  CHECK(load_error({.extra = [](GgufWriter& w) {
          w.add_string("llama.rope.scaling.type", "strange");
        }}).message.find("none, linear, yarn or longrope") != std::string::npos);
}

TEST_CASE("a vocabulary larger than the embedding table is refused") {
  const std::vector<std::string> tokens(301, "x");
  CHECK(load_error({.extra = [&](GgufWriter& w) {
          w.add_strings("tokenizer.ggml.tokens", tokens);
        }}).param == "tokenizer.ggml.tokens");
}

TEST_CASE("linear scaling divides all frequencies, YaRN the low ones only") {
  const auto frequencies = [](const char* type) {
    FileSpec spec;
    spec.extra = [type](GgufWriter& w) {
      w.add_string("llama.rope.scaling.type", type);
      w.add_f32("llama.rope.scaling.factor", 4.0F);
      w.add_u32("llama.rope.scaling.original_context_length", 128);
    };
    const auto model = Model::load(write(spec, "rope.gguf"));
    REQUIRE(model.has_value());
    return (*model)->config().ropes.front();
  };
  const RopeConfig linear = frequencies("linear");
  const RopeConfig yarn = frequencies("yarn");
  CHECK(linear.inverse_frequency[0] == doctest::Approx(0.25));
  CHECK(linear.magnitude == 1.0F);
  CHECK(yarn.inverse_frequency.front() == doctest::Approx(1.0));
  CHECK(yarn.inverse_frequency.back() == doctest::Approx(linear.inverse_frequency.back()));
  CHECK(yarn.magnitude == doctest::Approx(0.1 * std::log(4.0) + 1.0));
}

}  // namespace hearth
