// Every architecture: it loads, and a file that lacks a tensor or has it in another shape is
// refused by the tensor's name.
#include "engine/model/architecture.h"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "engine/model/model.h"
#include "engine/synth/gguf_writer.h"
#include "engine/synth/synthetic_model.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

using testing::tiny_model;

/// Some 100 KB, two layers.
std::filesystem::path small_model(const std::string& arch) {
  auto options = synth_preset("tiny", arch, "f32");
  REQUIRE(options.has_value());
  options->hidden_size = 16;
  options->head_dim = 8;
  options->ffn_size = 32;
  options->vocab_size = 260;
  options->context_length = 256;
  const auto path = tiny_model().parent_path() / ("small-" + arch + ".gguf");
  const Status status = write_synthetic_model(*options, path);
  REQUIRE_MESSAGE(status.has_value(), (status.has_value() ? "" : status.error().message));
  return path;
}

/// Copies a file; `edit` may change a tensor's shape, or drop it by leaving none.
std::filesystem::path copy_model(
    const ModelFile& source,
    const std::function<void(std::string_view, std::vector<int64_t>&)>& edit) {
  GgufWriter writer;
  for (const auto& [key, value] : source.metadata().entries())
    if (key.find("tokenizer") == std::string_view::npos) writer.add_value(key, value);
  for (const TensorInfo& tensor : source.tensors()) {
    std::vector<int64_t> dims(tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims);
    edit(tensor.name, dims);
    if (dims.empty()) continue;
    writer.add_tensor(tensor.name, tensor.dtype, dims, [](int64_t, std::span<std::byte> out) {
      std::memset(out.data(), 0x3F, out.size());  // 0.747 as f32
    });
  }
  const auto path = tiny_model().parent_path() / "edited.gguf";
  REQUIRE(writer.write(path).has_value());
  return path;
}

/// Tensors whose absence makes another sound model of the same architecture.
bool may_be_absent(const std::string& arch, std::string_view tensor) {
  static const std::set<std::string> kNeverTied = {"gptneox", "phi2", "gpt-oss"};
  if (tensor == "output.weight") return !kNeverTied.contains(arch);
  return tensor == "rope_freqs.weight";
}

}  // namespace

TEST_CASE("every architecture of hearth synth loads") {
  std::set<std::string> loaded;
  for (const std::string& arch : synth_architectures()) {
    CAPTURE(arch);
    const auto model = Model::load(tiny_model(arch));
    REQUIRE_MESSAGE(model.has_value(), (model.has_value() ? "" : model.error().message));
    const ModelConfig& c = (*model)->config();
    loaded.insert(c.architecture);
    CHECK(c.layers.size() == 2);
    CHECK((*model)->layers().size() == 2);
    for (const LayerConfig& layer : c.layers)
      CHECK((layer.rope == kNoRope || std::cmp_less(layer.rope, c.ropes.size())));
  }
  CHECK(loaded.size() == architectures().size());
}

TEST_CASE("a tensor that is missing, in any architecture, is refused by name") {
  for (const std::string& arch : synth_architectures()) {
    const auto source = ModelFile::open(small_model(arch));
    REQUIRE(source.has_value());
    for (const TensorInfo& tensor : (*source)->tensors()) {
      CAPTURE(arch);
      CAPTURE(tensor.name);
      const auto path =
          copy_model(**source, [&](std::string_view name, std::vector<int64_t>& dims) {
            if (name == tensor.name) dims.clear();
          });
      const auto model = Model::load(path);
      REQUIRE(model.has_value() == may_be_absent(arch, tensor.name));
      if (model.has_value()) continue;
      CHECK(model.error().code == ErrorCode::kMalformed);
      CHECK(model.error().param == tensor.name);
      CHECK(model.error().message.find(tensor.name) != std::string::npos);
    }
  }
}

TEST_CASE("a tensor of another shape, in any architecture, is refused by name") {
  for (const std::string& arch : synth_architectures()) {
    const auto source = ModelFile::open(small_model(arch));
    REQUIRE(source.has_value());
    for (const TensorInfo& tensor : (*source)->tensors()) {
      // These tables say how many tokens and positions there are.
      if (tensor.name == "token_embd.weight" || tensor.name == "position_embd.weight") continue;
      for (uint32_t d = 0; d < tensor.num_dims; ++d) {
        CAPTURE(arch);
        CAPTURE(tensor.name);
        CAPTURE(d);
        const auto model = Model::load(
            copy_model(**source, [&](std::string_view name, std::vector<int64_t>& dims) {
              if (name == tensor.name) dims[d] *= 2;
            }));
        REQUIRE_FALSE(model.has_value());
        CHECK(model.error().param == tensor.name);
      }
    }
  }
}

TEST_CASE("fused matrices are slices of one tensor, in order") {
  const auto model = Model::load(tiny_model("phi3"));
  REQUIRE(model.has_value());
  const ModelConfig& c = (*model)->config();
  const LayerWeights& w = (*model)->layers().front();
  const auto* qkv = static_cast<const std::byte*>(
      static_cast<const void*>((*model)->file().find_tensor("blk.0.attn_qkv.weight")->data));
  const auto* up = (*model)->file().find_tensor("blk.0.ffn_up.weight")->data;
  const auto row = static_cast<size_t>(c.hidden_size) * sizeof(float);
  CHECK(w.q.weight.data == qkv);
  CHECK(w.k.weight.data == qkv + static_cast<size_t>(c.q_size()) * row);
  CHECK(w.v.weight.data == qkv + static_cast<size_t>(c.q_size() + c.kv_size()) * row);
  CHECK(w.gate.weight.data == up);
  CHECK(w.up.weight.data == up + static_cast<size_t>(c.ffn_size) * row);
  CHECK(w.up.weight.rows == c.ffn_size);
}

TEST_CASE("experts of early files lie in tensors of their own") {
  const auto source = ModelFile::open(small_model("mixtral"));
  REQUIRE(source.has_value());
  GgufWriter writer;
  for (const auto& [key, value] : (*source)->metadata().entries())
    if (key.find("tokenizer") == std::string_view::npos) writer.add_value(key, value);
  for (const TensorInfo& tensor : (*source)->tensors()) {
    const size_t suffix = tensor.name.find("_exps");
    const bool split = suffix != std::string_view::npos;
    for (int64_t e = 0; e < tensor.dims[2]; ++e) {
      const std::string name =
          split ? std::string(tensor.name.substr(0, suffix)) + "." + std::to_string(e) + ".weight"
                : std::string(tensor.name);
      const std::vector<int64_t> dims(tensor.dims.begin(),
                                      tensor.dims.begin() + std::min(tensor.num_dims, 2U));
      const size_t bytes = tensor.bytes / static_cast<size_t>(tensor.dims[2]);
      const std::byte* data = tensor.data + static_cast<size_t>(e) * bytes;
      const size_t row = static_cast<size_t>(tensor.dims[0]) * sizeof(float);
      writer.add_tensor(name, tensor.dtype, dims, [=](int64_t first, std::span<std::byte> out) {
        std::memcpy(out.data(), data + static_cast<size_t>(first) * row, out.size());
      });
    }
  }
  const auto path = tiny_model().parent_path() / "split-experts.gguf";
  REQUIRE(writer.write(path).has_value());
  const auto split = Model::load(path);
  REQUIRE_MESSAGE(split.has_value(), (split.has_value() ? "" : split.error().message));
  const auto whole = Model::load(small_model("mixtral"));
  REQUIRE(whole.has_value());
  const ExpertMatrices& a = (*split)->layers()[1].experts.down;
  const ExpertMatrices& b = (*whole)->layers()[1].experts.down;
  REQUIRE(a.weights.size() == 4);
  for (size_t e = 0; e < 4; ++e)
    CHECK(std::memcmp(a.weights[e].data, b.weights[e].data,
                      static_cast<size_t>(a.weights[e].rows) * a.weights[e].row_bytes) == 0);
}

TEST_CASE("windows and RoPE follow the layers' pattern") {
  const auto layers_of = [](const char* arch) {
    const auto model = Model::load(tiny_model(arch));
    REQUIRE(model.has_value());
    return (*model)->config().layers;
  };
  for (const char* arch : {"gemma2", "gpt-oss"}) {
    const auto layers = layers_of(arch);
    CHECK(layers[0].window == 16);
    CHECK(layers[1].window == 0);
  }
  const auto gemma3 = layers_of("gemma3");
  CHECK(gemma3[0].window == 16);
  CHECK(gemma3[0].rope == 1);
  CHECK(gemma3[1].window == 0);
  CHECK(gemma3[1].rope == 0);
  const auto llama4 = layers_of("llama4");
  CHECK(llama4[0].chunk == 8192);
  CHECK(llama4[0].dense);
  CHECK_FALSE(llama4[1].dense);
  const auto cohere2 = layers_of("cohere2");
  CHECK(cohere2[0].rope == 0);
  CHECK(cohere2[1].window == 0);
  CHECK(cohere2[1].rope == kNoRope);
}

}  // namespace hearth
