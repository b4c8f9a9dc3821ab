#include "engine/model/config_reader.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>

#include "engine/model/key_reader.h"
#include "kernels/moe/moe.h"

namespace hearth {
namespace {

constexpr int64_t kMaxVocab = (1 << 20) - 1;  // what the sampler's packed candidates hold

/// Heads and their width; they must agree with each other.
Status read_heads(const KeyReader& keys, ModelConfig& config) {
  HEARTH_ASSIGN_OR_RETURN(config.num_heads, keys.size("attention.head_count", kMaxHeads));
  HEARTH_ASSIGN_OR_RETURN(
      config.num_kv_heads,
      keys.size_or("attention.head_count_kv", static_cast<uint32_t>(config.num_heads), kMaxHeads));
  if (config.num_heads % config.num_kv_heads != 0) {
    return keys.bad("attention.head_count_kv", config.num_kv_heads,
                    fmt::format("a divisor of attention.head_count = {}", config.num_heads));
  }
  const int32_t even_split = config.hidden_size / config.num_heads;
  if (!keys.contains("attention.key_length") && config.hidden_size % config.num_heads != 0) {
    return keys.bad("attention.head_count", config.num_heads,
                    fmt::format("a divisor of embedding_length = {}", config.hidden_size));
  }
  HEARTH_ASSIGN_OR_RETURN(
      config.head_dim, keys.size_or("attention.key_length",
                                    static_cast<uint32_t>(std::max(even_split, 1)), kMaxHeadSize));
  HEARTH_ASSIGN_OR_RETURN(
      const int32_t value_dim,
      keys.size_or("attention.value_length", static_cast<uint32_t>(config.head_dim), kMaxHeadSize));
  if (value_dim != config.head_dim) {
    return keys.bad("attention.value_length", value_dim,
                    fmt::format("attention.key_length = {}", config.head_dim));
  }
  return {};
}

/// Rows of the embedding table: its shape is what indexing must respect.
Result<int32_t> read_vocab_size(const ModelFile& file) {
  const TensorInfo* embedding = file.find_tensor("token_embd.weight");
  const std::string source = file.path().filename().string();
  if (embedding == nullptr)
    return fail(ErrorCode::kMalformed, source + ": has no tensor token_embd.weight",
                "token_embd.weight");
  const int64_t rows = embedding->dims[1];
  if (rows > kMaxVocab)
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: token_embd.weight has {} rows, expected at most {}", source, rows,
                            kMaxVocab),
                "token_embd.weight");
  const MetaValue* tokens = file.metadata().find("tokenizer.ggml.tokens");
  if (tokens != nullptr) {
    const auto* array = std::get_if<MetaArray>(tokens);
    if (array == nullptr || array->count > static_cast<uint64_t>(rows)) {
      return fail(
          ErrorCode::kMalformed,
          fmt::format("{}: tokenizer.ggml.tokens has more entries than token_embd.weight has "
                      "rows ({})",
                      source, rows),
          "tokenizer.ggml.tokens");
    }
  }
  return static_cast<int32_t>(rows);
}

/// Sizes of the experts where the architecture has them; a file with experts of one that has none
/// is another model than it says.
Status read_experts(const KeyReader& keys, const std::string& source, Experts support,
                    ModelConfig& config) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t count,
                          keys.metadata().u32_or(keys.key("expert_count"), 0));
  if (support == Experts::kNone && count != 0) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{}: {} is {}; this architecture has no experts", source,
                            keys.key("expert_count"), count),
                keys.key("expert_count"));
  }
  if (support == Experts::kNone || (support == Experts::kOptional && count == 0)) return {};
  ExpertConfig& experts = config.experts;
  HEARTH_ASSIGN_OR_RETURN(experts.count, keys.size("expert_count", kernels::kMaxExperts));
  HEARTH_ASSIGN_OR_RETURN(experts.used, keys.size("expert_used_count", count));
  HEARTH_ASSIGN_OR_RETURN(experts.ffn_size,
                          keys.size_or("expert_feed_forward_length",
                                       static_cast<uint32_t>(config.ffn_size), kMaxWidth));
  return {};
}

Result<NormConfig> read_norm(const KeyReader& keys, NormKind kind) {
  NormConfig norm{.kind = kind};
  const bool rms = kind == NormKind::kRms;
  HEARTH_ASSIGN_OR_RETURN(norm.eps, keys.positive_or(rms ? "attention.layer_norm_rms_epsilon"
                                                         : "attention.layer_norm_epsilon",
                                                     1e-5F));
  norm.bias = rms ? Presence::kAbsent : Presence::kRequired;
  return norm;
}

}  // namespace

Result<ModelConfig> read_common_config(const ModelFile& file, NormKind norm, Experts experts) {
  ModelConfig config;
  HEARTH_ASSIGN_OR_RETURN(const std::string_view architecture,
                          file.metadata().string("general.architecture"));
  config.architecture = architecture;
  HEARTH_ASSIGN_OR_RETURN(const std::string_view name,
                          file.metadata().string_or("general.name", ""));
  config.name = name;

  const KeyReader keys(file, config.architecture);
  HEARTH_ASSIGN_OR_RETURN(config.num_layers, keys.size("block_count", kMaxLayers));
  HEARTH_ASSIGN_OR_RETURN(config.hidden_size, keys.size("embedding_length", kMaxWidth));
  HEARTH_ASSIGN_OR_RETURN(config.ffn_size, keys.size("feed_forward_length", kMaxWidth));
  HEARTH_ASSIGN_OR_RETURN(config.context_length, keys.size("context_length", kMaxContext));
  HEARTH_RETURN_IF_ERROR(read_heads(keys, config));
  config.attention_scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim));
  HEARTH_ASSIGN_OR_RETURN(config.norm, read_norm(keys, norm));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t window,
                          file.metadata().u32_or(keys.key("attention.sliding_window"), 0));
  config.layers.assign(static_cast<size_t>(config.num_layers),
                       {.window = static_cast<int32_t>(std::min<uint32_t>(window, kMaxContext))});
  HEARTH_RETURN_IF_ERROR(read_experts(keys, file.path().filename().string(), experts, config));
  HEARTH_ASSIGN_OR_RETURN(config.vocab_size, read_vocab_size(file));
  return config;
}

Status read_window_pattern(const KeyReader& keys, int32_t period, ModelConfig& config) {
  HEARTH_ASSIGN_OR_RETURN(
      const std::vector<bool> local,
      keys.pattern_or("attention.sliding_window_pattern", period, config.num_layers));
  for (size_t i = 0; i < local.size(); ++i)
    if (!local[i]) config.layers[i].window = 0;
  return {};
}

bool has_layer_tensor(const ModelFile& file, const ModelConfig& config, std::string_view name) {
  for (int32_t i = 0; i < config.num_layers; ++i)
    if (file.find_tensor(fmt::format("blk.{}.{}", i, name)) != nullptr) return true;
  return false;
}

Status read_learned_positions(const ModelFile& file, ModelConfig& config) {
  const std::string name = "position_embd.weight";
  const std::string source = file.path().filename().string();
  const TensorInfo* table = file.find_tensor(name);
  if (table == nullptr)
    return fail(ErrorCode::kMalformed, fmt::format("{}: has no tensor {}", source, name), name);
  if (table->dims[1] > kMaxContext) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: {} has {} rows, expected at most {}", source, name, table->dims[1],
                            kMaxContext),
                name);
  }
  config.learned_positions = static_cast<int32_t>(table->dims[1]);
  for (LayerConfig& layer : config.layers) layer.rope = kNoRope;
  if (config.context_length > config.learned_positions) {
    return fail(
        ErrorCode::kMalformed,
        fmt::format("{}: {}.context_length is {}, expected at most the {} rows of {}", source,
                    config.architecture, config.context_length, config.learned_positions, name),
        config.architecture + ".context_length");
  }
  return {};
}

Result<ModelConfig> read_gpt2_config(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  c.activation = kernels::Activation::kGeluTanh;
  c.gated = false;
  c.fused_qkv = true;
  c.qkv_bias = c.attention_out_bias = c.ffn_bias = Presence::kRequired;
  HEARTH_RETURN_IF_ERROR(read_learned_positions(file, c));
  return c;
}

}  // namespace hearth
