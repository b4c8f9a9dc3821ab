// Safetensors folders against GGUF files with the same weights.

#include "engine/safetensors/safetensors_folder.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/tokenizer/tokenizer.h"
#include "tests/support/model_logits.h"
#include "tests/support/safetensors_writer.h"
#include "tests/support/spm_model.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
using testing::FolderOptions;
using testing::Json;

/// The folder twin of a GGUF file, beside it.
fs::path folder_of(const fs::path& gguf, const std::string& suffix = "",
                   const FolderOptions& options = {}) {
  const auto model = ModelFile::open(gguf);
  REQUIRE(model.has_value());
  const fs::path folder = gguf.parent_path() / (gguf.stem().string() + suffix);
  testing::write_folder(**model, folder, options);
  return folder;
}

std::string message_of(const fs::path& folder) {
  const auto model = ModelFile::open(folder);
  REQUIRE_FALSE(model.has_value());
  CHECK(model.error().message.find('\n') == std::string::npos);
  return model.error().message;
}

void check_mentions(const std::string& message, std::string_view part) {
  CHECK_MESSAGE(message.find(part) != std::string::npos, message);
}

/// GGUF's llama with rows as folders have them, so that both compute in the same order.
fs::path with_halves(const fs::path& gguf) {
  const fs::path path = gguf.parent_path() / ("halves-" + gguf.filename().string());
  const auto model = ModelFile::open(gguf);
  GgufWriter writer;
  for (const auto& [key, value] : (*model)->metadata().entries()) writer.add_value(key, value);
  writer.add_bool("hearth.rope.halves", true);
  testing::copy_tensors(**model, writer);
  REQUIRE(writer.write(path).has_value());
  return path;
}

}  // namespace

TEST_CASE("the logits are those of the GGUF file, bit for bit") {
  for (const char* arch : {"qwen2", "qwen3"}) {
    for (const char* type : {"f32", "f16", "bf16"}) {
      const fs::path gguf = testing::tiny_model(arch, type);
      CHECK_MESSAGE(testing::model_logits(folder_of(gguf)) == testing::model_logits(gguf),
                    std::string(arch), " ", std::string(type));
    }
  }
  for (const char* arch : {"llama", "mistral"}) {
    const fs::path gguf = with_halves(testing::tiny_model(arch, "bf16"));
    CHECK(testing::model_logits(folder_of(gguf, "", {.halves = false})) ==
          testing::model_logits(gguf));
  }
}

TEST_CASE("every kind of model has the logits of its GGUF file, bit for bit") {
  struct Kind {
    std::string arch;  // of the synthetic GGUF file
    std::string model_type;
    std::map<std::string, std::string> names;
    Json config;
  };
  const Json gelu = {{"hidden_activation", "gelu_pytorch_tanh"}};
  const std::map<std::string, std::string> gemma = {
      {"post_attention_norm", "post_attention_layernorm"},
      {"ffn_norm", "pre_feedforward_layernorm"},
      {"post_ffw_norm", "post_feedforward_layernorm"}};
  const Kind kinds[] = {
      {"mixtral",
       "mixtral",
       {{"ffn_gate_inp", "block_sparse_moe.gate"},
        {"ffn_gate_exps", "block_sparse_moe.experts.*.w1"},
        {"ffn_down_exps", "block_sparse_moe.experts.*.w2"},
        {"ffn_up_exps", "block_sparse_moe.experts.*.w3"}},
       {{"num_local_experts", 4}, {"num_experts_per_tok", 2}}},
      {"qwen3moe",
       "qwen3_moe",
       {{"ffn_gate_inp", "mlp.gate"},
        {"ffn_gate_exps", "mlp.experts.*.gate_proj"},
        {"ffn_down_exps", "mlp.experts.*.down_proj"},
        {"ffn_up_exps", "mlp.experts.*.up_proj"}},
       {{"num_experts", 8}, {"num_experts_per_tok", 3}, {"norm_topk_prob", true}}},
      {"gemma", "gemma", {}, gelu},
      {"gemma2", "gemma2", gemma, gelu},
      {"gemma3", "gemma3_text", gemma, gelu},
      {"phi3",
       "phi3",
       {{"attn_qkv", "self_attn.qkv_proj"}, {"ffn_up", "mlp.gate_up_proj"}},
       Json::object()},
      {"granite", "granite", {}, Json::object()},
      {"olmo2",
       "olmo2",
       {{"post_attention_norm", "post_attention_layernorm"},
        {"post_ffw_norm", "post_feedforward_layernorm"}},
       Json::object()},
      {"smollm3", "smollm3", {}, Json::object()},
  };
  for (const Kind& kind : kinds) {
    CAPTURE(kind.model_type);
    const fs::path gguf = with_halves(testing::tiny_model(kind.arch, "bf16"));
    const auto source = ModelFile::open(gguf);
    FolderOptions options;
    options.halves = false;
    options.model_type = kind.model_type;
    options.names = kind.names;
    options.config = kind.config;
    options.norms_lack_one = kind.arch.starts_with("gemma");
    // What else the synthetic file says, by the names that config.json has.
    const std::string prefix = kind.arch == "mixtral" ? "llama." : kind.arch + ".";
    for (const auto& [key, own] : std::map<std::string, std::string>{
             {"attention.sliding_window", "sliding_window"},
             {"attention.sliding_window_pattern", "sliding_window_pattern"},
             {"rope.scaling.original_context_length", "original_max_position_embeddings"},
             {"attn_logit_softcapping", "attn_logit_softcapping"},
             {"final_logit_softcapping", "final_logit_softcapping"},
             {"rope.freq_base_swa", "rope_local_base_freq"},
             {"attention.scale", "attention_multiplier"},
             {"embedding_scale", "embedding_multiplier"},
             {"residual_scale", "residual_multiplier"},
             {"logit_scale", "logits_scaling"}})
      if ((*source)->metadata().contains(prefix + key))
        options.config[own] = (*source)->metadata().f32(prefix + key).value();
    for (const char* whole : {"sliding_window", "sliding_window_pattern"})
      if (options.config.contains(whole)) options.config[whole] = options.config[whole].get<int>();
    if (const TensorInfo* factors = (*source)->find_tensor("rope_factors_long.weight")) {
      const auto* values = reinterpret_cast<const float*>(factors->data);
      const TensorInfo* others = (*source)->find_tensor("rope_factors_short.weight");
      const auto* short_values = reinterpret_cast<const float*>(others->data);
      options.config["rope_scaling"] = {
          {"type", "longrope"},
          {"long_factor", std::vector<float>(values, values + factors->dims[0])},
          {"short_factor", std::vector<float>(short_values, short_values + others->dims[0])}};
    }
    CHECK(testing::model_logits(folder_of(gguf, "", options)) == testing::model_logits(gguf));
  }
}

TEST_CASE("rows of Q and K in the folder's own order give the same model") {
  const fs::path gguf = testing::tiny_model("llama", "f32");
  const auto expected = testing::model_logits(gguf);
  const auto logits = testing::model_logits(folder_of(gguf));
  REQUIRE(logits.size() == expected.size());
  float worst = 0.0F;
  for (size_t i = 0; i < logits.size(); ++i)
    worst = std::max(worst, std::fabs(logits[i] - expected[i]));
  // Only the order of sums within a head differs; logits spread over several units. The KV cache
  // rounds to f16.
  CHECK(worst < 0.02F);
  CHECK(worst > 0.0F);
}

TEST_CASE("shards are one model") {
  const fs::path gguf = testing::tiny_model("qwen2", "bf16");
  const fs::path folder = folder_of(gguf, "-sharded", {.shards = 3});
  CHECK(testing::model_logits(folder) == testing::model_logits(gguf));
  const auto model = ModelFile::open(folder / "");
  REQUIRE(model.has_value());
  CHECK((*model)->format() == "safetensors");
  CHECK((*model)->mappings().size() == 3);
  CHECK((*model)->path().filename() == folder.filename());  // without the slash

  fs::rename(folder / "model-00002-of-00003.safetensors", folder / "away");
  check_mentions(message_of(folder), "model-00002-of-00003.safetensors': cannot open");
  fs::rename(folder / "model-00003-of-00003.safetensors",
             folder / "model-00002-of-00003.safetensors");
  fs::rename(folder / "away", folder / "model-00003-of-00003.safetensors");
  check_mentions(message_of(folder), "is not in 'model-0000");
  testing::write_json(folder / "model.safetensors.index.json",
                      {{"weight_map", {{"a", "../secret.safetensors"}}}});
  check_mentions(message_of(folder), "'weight_map.a': '../secret.safetensors'");
}

TEST_CASE("llama3's frequency factors follow from the config") {
  const fs::path gguf = testing::tiny_model("llama3", "f32");
  const auto source = ModelFile::open(gguf);
  const TensorInfo* expected = (*source)->find_tensor("rope_freqs.weight");
  REQUIRE(expected != nullptr);
  FolderOptions options;
  options.config["rope_scaling"] = {{"rope_type", "llama3"},
                                    {"factor", 8.0},
                                    {"low_freq_factor", 1.0},
                                    {"high_freq_factor", 4.0},
                                    {"original_max_position_embeddings", 8192}};
  const auto model = ModelFile::open(folder_of(gguf, "", options));
  REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
  const TensorInfo* factors = (*model)->find_tensor("rope_freqs.weight");
  REQUIRE(factors != nullptr);
  CHECK(factors->dims == expected->dims);
  const auto* values = reinterpret_cast<const float*>(factors->data);
  CHECK(values[0] == 1.0F);  // the fastest is kept
  for (int64_t i = 1; i < factors->dims[0]; ++i) CHECK(values[i] >= values[i - 1]);
  CHECK(values[factors->dims[0] - 1] <= 8.0F);
}

TEST_CASE("norms in 16 bits are widened") {
  const fs::path gguf = testing::tiny_model("qwen3", "bf16");
  const auto model = ModelFile::open(gguf);
  const fs::path folder = folder_of(gguf, "-norms");
  // The same file with a norm of BF16 ones.
  const uint16_t one = 0x3F80;
  std::string ones;
  for (int64_t i = 0; i < (*model)->find_tensor("output_norm.weight")->dims[0]; ++i)
    ones.append(reinterpret_cast<const char*>(&one), sizeof(one));
  const int64_t size = (*model)->find_tensor("output_norm.weight")->dims[0];
  testing::write_shard(folder / "model.safetensors",
                       {{"model.norm.weight", DType::kBF16, {size}, ones}});
  const auto opened = ModelFile::open(folder);
  REQUIRE_MESSAGE(opened.has_value(), (opened ? "" : opened.error().message));
  const TensorInfo* widened = (*opened)->find_tensor("output_norm.weight");
  REQUIRE(widened != nullptr);
  CHECK(widened->dtype == DType::kF32);
  CHECK(widened->bytes == ones.size() * 2);
  for (int64_t i = 0; i < widened->dims[0]; ++i)
    CHECK(reinterpret_cast<const float*>(widened->data)[i] == 1.0F);
}

TEST_CASE("the tokens are those of the GGUF file, for both kinds of vocabularies") {
  for (const fs::path& gguf : {testing::tiny_model("llama", "f32"),
                               testing::tiny_model("qwen2", "f32"), testing::spm_model("f32")}) {
    const auto source = ModelFile::open(gguf);
    const auto model = ModelFile::open(folder_of(gguf));
    REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
    const auto expected = Tokenizer::create((*source)->metadata());
    const auto tokenizer = Tokenizer::create((*model)->metadata());
    REQUIRE_MESSAGE(tokenizer.has_value(), (tokenizer ? "" : tokenizer.error().message));
    CHECK((*tokenizer)->vocab_size() == (*expected)->vocab_size());
    CHECK((*tokenizer)->bos() == (*expected)->bos());
    CHECK((*tokenizer)->eos() == (*expected)->eos());
    CHECK((*tokenizer)->end_of_generation() == (*expected)->end_of_generation());
    for (const std::string text :
         {"the time of the other, and in 1234 they're", " two  blanks\n\n<|im_end|>x</s> y",
          "caf\xC3\xA9 \xF0\x9F\x98\x80 \xE4\xB8\xAD", ""}) {
      for (const bool special : {false, true})
        CHECK((*tokenizer)->encode(text, {special, special}) ==
              (*expected)->encode(text, {special, special}));
    }
  }
}

TEST_CASE("chat templates come from the folder") {
  const fs::path gguf = testing::tiny_model("qwen2", "f32");
  const fs::path folder = folder_of(gguf, "-chat", {.chat_template = "{{ 'inline' }}"});
  const auto text = [&] {
    const auto model = ModelFile::open(folder);
    return std::string((*model)->metadata().string("tokenizer.chat_template").value());
  };
  CHECK(text() == "{{ 'inline' }}");
  testing::write_json(
      folder / "tokenizer_config.json",
      {{"chat_template", Json::array({{{"name", "tools"}, {"template", "no"}},
                                      {{"name", "default"}, {"template", "yes"}}})}});
  CHECK(text() == "yes");
  std::ofstream(folder / "chat_template.jinja") << "{{ 'own file' }}";
  CHECK(text() == "{{ 'own file' }}");
}

TEST_CASE("what is not read is refused by name, with advice") {
  const fs::path gguf = testing::tiny_model("qwen2", "f32");
  const auto refused = [&](const Json& patch) {
    return message_of(folder_of(gguf, "-refused", {.config = patch}));
  };
  check_mentions(refused({{"model_type", "bert"}}), "'model_type': 'bert', expected one of llama");
  check_mentions(refused({{"hidden_act", "gelu"}}), "'hidden_act': 'gelu', expected silu");
  check_mentions(refused({{"quantization_config", {{"quant_method", "gptq"}}}}), "GGUF files");
  check_mentions(refused({{"hidden_size", nullptr}}), "key 'hidden_size': absent");
  check_mentions(refused({{"num_attention_heads", 0}}), "'num_attention_heads': 0");
  check_mentions(refused({{"num_hidden_layers", "two"}}), "the string 'two', expected an integer");
  check_mentions(refused({{"rope_scaling", {{"rope_type", "dynamic"}}}}), "'dynamic', expected");
  check_mentions(refused({{"sliding_window", 8}, {"use_sliding_window", true}}),
                 "'use_sliding_window': true");

  const fs::path empty = gguf.parent_path() / "empty";
  fs::create_directories(empty);
  check_mentions(message_of(empty), "expected config.json and model.safetensors");
  std::ofstream(empty / "x.gguf") << "x";
  check_mentions(message_of(empty), "it holds 'x.gguf': serve that file");
}

}  // namespace hearth
