#include "engine/synth/synthetic_model.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/gguf/model_file.h"
#include "engine/synth/builtin_vocab.h"
#include "kernels/quant/dequantize.h"
#include "tests/engine/gguf/support_files.h"

namespace hearth {
namespace {

std::unique_ptr<ModelFile> make(const SynthOptions& options, const std::filesystem::path& path) {
  const Status written = write_synthetic_model(options, path);
  REQUIRE_MESSAGE(written.has_value(), (written ? "" : written.error().message));
  auto model = ModelFile::open(path);
  REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
  return std::move(*model);
}

SynthOptions preset(std::string_view name, std::string_view arch, std::string_view type) {
  auto options = synth_preset(name, arch, type);
  REQUIRE(options.has_value());
  return *options;
}

struct Moments {
  double mean;
  double std_dev;
};

/// Of all weights of a tensor; checks that they are finite.
Moments moments(const TensorInfo& tensor) {
  const int64_t cols = tensor.dims[0];
  const int64_t rows = tensor.dims[1];
  std::vector<float> row(static_cast<size_t>(cols));
  double sum = 0;
  double squares = 0;
  for (int64_t r = 0; r < rows; ++r) {
    quant::dequantize_row(tensor.dtype,
                          tensor.data + static_cast<size_t>(r) * row_bytes(tensor.dtype, cols),
                          row.data(), cols);
    for (const float x : row) {
      REQUIRE(std::isfinite(x));
      sum += x;
      squares += static_cast<double>(x) * x;
    }
  }
  const double n = static_cast<double>(cols * rows);
  return {sum / n, std::sqrt(squares / n - sum / n * sum / n)};
}

const TensorInfo& tensor_of(const ModelFile& model, std::string_view name) {
  const TensorInfo* tensor = model.find_tensor(name);
  REQUIRE_MESSAGE(tensor != nullptr, name);
  return *tensor;
}

/// Mean near 0 and the standard deviation asked for, as far as `n` samples can tell.
void check_moments(const TensorInfo& tensor, double std_dev) {
  const Moments m = moments(tensor);
  const double n = static_cast<double>(tensor.dims[0] * tensor.dims[1]);
  CAPTURE(tensor.name);
  CAPTURE(m.mean);
  CAPTURE(m.std_dev);
  CHECK(std::fabs(m.mean) < std_dev * (5 / std::sqrt(n) + 0.01));
  CHECK(m.std_dev == doctest::Approx(std_dev).epsilon(0.06));
}

}  // namespace

TEST_CASE("weights of every type are finite, centred and scaled as the layer asks") {
  const TemporaryFolder folder;
  for (const std::string& type : synth_types()) {
    CAPTURE(type);
    const SynthOptions options = preset("tiny", "llama", type);
    const auto model = make(options, folder.path() / "m.gguf");
    CHECK(model->mapped_bytes() < 2000000);
    const double hidden = options.hidden_size;
    check_moments(tensor_of(*model, "token_embd.weight"), 1.0);
    check_moments(tensor_of(*model, "blk.0.attn_q.weight"), 1 / std::sqrt(hidden));
    check_moments(tensor_of(*model, "blk.0.attn_v.weight"), 1 / std::sqrt(hidden));
    check_moments(tensor_of(*model, "blk.1.ffn_down.weight"), 1 / std::sqrt(options.ffn_size));
    check_moments(tensor_of(*model, "output.weight"), 3 / std::sqrt(hidden));
  }
}

TEST_CASE("large tensors drawn from the pool keep moments, and their rows differ") {
  const TemporaryFolder folder;
  for (const char* type : {"q4_0", "q4_k", "f16"}) {
    SynthOptions options = preset("tiny", "llama", type);
    options.layers = 1;
    options.hidden_size = 256;
    options.ffn_size = 256;
    options.vocab_size = 10000;  // 2.56 million weights: over the pool's size
    const auto model = make(options, folder.path() / "m.gguf");
    const TensorInfo& embeddings = tensor_of(*model, "token_embd.weight");
    check_moments(embeddings, 1.0);
    std::set<std::string_view> rows;
    const size_t bytes = row_bytes(embeddings.dtype, embeddings.dims[0]);
    for (size_t r = 0; r < 10000; ++r)
      rows.emplace(reinterpret_cast<const char*>(embeddings.data) + r * bytes, bytes);
    CHECK(rows.size() == 10000);
  }
}

TEST_CASE("one seed gives one file, another seed another") {
  const TemporaryFolder folder;
  SynthOptions options = preset("tiny", "qwen3", "q5_k");
  make(options, folder.path() / "a.gguf");
  make(options, folder.path() / "b.gguf");
  options.seed = 2;
  make(options, folder.path() / "c.gguf");
  const std::string a = read_bytes(folder.path() / "a.gguf");
  CHECK(a == read_bytes(folder.path() / "b.gguf"));
  CHECK(a != read_bytes(folder.path() / "c.gguf"));
}

TEST_CASE("architectures have their keys and tensors") {
  const TemporaryFolder folder;
  for (const std::string& arch : synth_architectures()) {
    CAPTURE(arch);
    const SynthOptions options = preset("tiny", arch, "f16");
    const auto model = make(options, folder.path() / "m.gguf");
    const Metadata& m = model->metadata();
    const std::string key(m.string("general.architecture").value());
    CHECK(m.u32(key + ".block_count").value() == 2);
    CHECK(m.u32(key + ".attention.head_count").value() == 4);
    CHECK(m.u32(key + ".attention.head_count_kv").value() ==
          static_cast<uint32_t>(options.num_kv_heads));
    CHECK(m.u32(key + ".vocab_size").value() == 512);
    CHECK(m.contains(key + ".rope.freq_base") ==
          (model->find_tensor("position_embd.weight") == nullptr));
    CHECK(m.contains(key + ".attention.layer_norm_epsilon") ==
          !m.contains(key + ".attention.layer_norm_rms_epsilon"));
    CHECK((model->find_tensor("rope_freqs.weight") != nullptr) == (arch == "llama3"));
    CHECK((model->find_tensor("blk.0.attn_q.weight") != nullptr) ==
          (model->find_tensor("blk.0.attn_qkv.weight") == nullptr));
  }
}

TEST_CASE("the Llama family has grouped queries, biases and norms where it should") {
  const TemporaryFolder folder;
  for (const std::string arch : {"llama", "llama3", "mistral", "qwen2", "qwen3"}) {
    CAPTURE(arch);
    const SynthOptions options = preset("tiny", arch, "f16");
    const auto model = make(options, folder.path() / "m.gguf");
    CHECK(model->metadata().string("general.architecture").value() ==
          (arch.starts_with("qwen") ? arch : "llama"));
    CHECK(options.num_kv_heads == (arch == "llama" ? 4 : 2));
    CHECK((model->find_tensor("blk.0.attn_q.bias") != nullptr) == (arch == "qwen2"));
    CHECK((model->find_tensor("blk.1.attn_k_norm.weight") != nullptr) == (arch == "qwen3"));
    const int64_t kv_rows = options.num_kv_heads * options.head_dim;
    CHECK(tensor_of(*model, "blk.0.attn_k.weight").dims ==
          std::array<int64_t, 4>{64, kv_rows, 1, 1});
    CHECK(tensor_of(*model, "blk.0.ffn_norm.weight").dtype == DType::kF32);
  }
}

TEST_CASE("experts are one tensor of three dimensions, all of them different") {
  const TemporaryFolder folder;
  const SynthOptions options = preset("tiny", "gpt-oss", "q8_0");
  const auto model = make(options, folder.path() / "m.gguf");
  const TensorInfo& gate = tensor_of(*model, "blk.1.ffn_gate_exps.weight");
  CHECK(gate.dims == std::array<int64_t, 4>{64, options.ffn_size, 4, 1});
  CHECK(tensor_of(*model, "blk.1.ffn_gate_exps.bias").dims ==
        std::array<int64_t, 4>{options.ffn_size, 4, 1, 1});
  std::set<std::string_view> experts;
  for (size_t e = 0; e < 4; ++e)
    experts.emplace(reinterpret_cast<const char*>(gate.data) + e * gate.bytes / 4, gate.bytes / 4);
  CHECK(experts.size() == 4);
}

TEST_CASE("tied embeddings, mixed types and the six-bit output matrix") {
  const TemporaryFolder folder;
  SynthOptions options = preset("tiny", "llama", "q4_k_m");
  options.layers = 4;
  auto model = make(options, folder.path() / "m.gguf");
  int six_bits = 0;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const DType v = tensor_of(*model, prefix + "attn_v.weight").dtype;
    CHECK(tensor_of(*model, prefix + "ffn_down.weight").dtype == v);
    CHECK(tensor_of(*model, prefix + "attn_q.weight").dtype == DType::kQ4_K);
    six_bits += v == DType::kQ6_K ? 1 : 0;
  }
  CHECK(six_bits == 2);
  CHECK(tensor_of(*model, "output.weight").dtype == DType::kQ6_K);
  options.tied_embeddings = true;
  model = make(options, folder.path() / "m.gguf");
  CHECK(model->find_tensor("output.weight") == nullptr);
  CHECK(tensor_of(*model, "token_embd.weight").dtype == DType::kQ6_K);
}

TEST_CASE("the vocabulary of another file is taken whole") {
  const TemporaryFolder folder;
  GgufWriter source;
  source.add_string("general.architecture", "llama");
  std::vector<std::string> tokens;
  std::vector<float> scores;
  for (int i = 0; i < 300; ++i) {
    tokens.push_back(std::string("t").append(std::to_string(i)));
    scores.push_back(-0.5F * static_cast<float>(i));
  }
  source.add_string("tokenizer.ggml.model", "llama");
  source.add_strings("tokenizer.ggml.tokens", tokens);
  source.add_f32s("tokenizer.ggml.scores", scores);
  source.add_bool("tokenizer.ggml.add_bos_token", true);
  REQUIRE(source.write(folder.path() / "v.gguf").has_value());
  SynthOptions options = preset("tiny", "qwen2", "q8_0");
  options.vocab_file = folder.path() / "v.gguf";
  const auto model = make(options, folder.path() / "m.gguf");
  const Metadata& m = model->metadata();
  CHECK(m.string("tokenizer.ggml.model").value() == "llama");
  CHECK(m.strings("tokenizer.ggml.tokens").value().size() == 300);
  CHECK(m.f32s("tokenizer.ggml.scores").value() == scores);
  CHECK(m.bool_or("tokenizer.ggml.add_bos_token", false).value());
  CHECK_FALSE(m.contains("tokenizer.chat_template"));
  CHECK(m.u32("qwen2.vocab_size").value() == 300);
  CHECK(tensor_of(*model, "token_embd.weight").dims[1] == 300);
  options.vocab_file = folder.path() / "absent.gguf";
  CHECK_FALSE(write_synthetic_model(options, folder.path() / "n.gguf").has_value());
  CHECK_FALSE(std::filesystem::exists(folder.path() / "n.gguf"));
}

TEST_CASE("options that contradict are refused by name") {
  const TemporaryFolder folder;
  const auto refused = [&](const SynthOptions& options) {
    const Status status = write_synthetic_model(options, folder.path() / "m.gguf");
    REQUIRE_FALSE(status.has_value());
    CHECK(status.error().code == ErrorCode::kInvalidArgument);
    return status.error().param;
  };
  SynthOptions options;
  options.arch = "gpt5";
  CHECK(refused(options) == "arch");
  options = {};
  options.type = "q9";
  CHECK(refused(options) == "type");
  options = {};
  options.hidden_size = 100;
  CHECK(refused(options) == "hidden");
  options = {};
  options.num_kv_heads = 3;
  CHECK(refused(options) == "kv-heads");
  options = {};
  options.num_kv_heads = 0;
  CHECK(refused(options) == "kv-heads");
  options = {};
  options.head_dim = 15;
  CHECK(refused(options) == "head-dim");
  options = {};
  options.ffn_size = 100;
  CHECK(refused(options) == "ffn");
  options = {};
  options.vocab_size = 258;
  CHECK(refused(options) == "vocab");
  options = {};
  options.type = "q4_k";
  CHECK(refused(options) == "hidden");
  CHECK_FALSE(synth_preset("huge", "llama", "f32").has_value());
}

TEST_CASE("a write that fails names the file and leaves nothing behind") {
  const TemporaryFolder folder;
  const Status status = write_synthetic_model({}, folder.path() / "no" / "m.gguf");
  REQUIRE_FALSE(status.has_value());
  CHECK(status.error().code == ErrorCode::kIo);
  CHECK(status.error().message.find("m.gguf': cannot create") != std::string::npos);
  REQUIRE(write_synthetic_model({}, folder.path() / "m.gguf").has_value());
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("real presets have the shapes of the models they are named after") {
  const SynthOptions tiny_llama = preset("1.1b", "llama", "q4_0");
  CHECK(tiny_llama.num_kv_heads == 4);
  CHECK(tiny_llama.ffn_size == 5632);
  const SynthOptions llama2 = preset("7b", "llama", "q4_0");
  CHECK(llama2.num_kv_heads == 32);
  CHECK(llama2.ffn_size == 11008);
  const SynthOptions mistral = preset("7b", "mistral", "q4_0");
  CHECK(mistral.num_kv_heads == 8);
  CHECK(mistral.ffn_size == 14336);
}

}  // namespace hearth
