#include "engine/safetensors/known_models.h"

#include <algorithm>
#include <array>
#include <optional>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

std::unexpected<Error> refuse(const Metadata& config, std::string_view key,
                              const std::string& expected) {
  return fail(ErrorCode::kUnsupported,
              config.source() + ": " + quote_foreign(key) + ": another value, expected " + expected,
              std::string(key));
}

/// Weights of the chosen experts add up to 1, and every layer has experts.
Status check_qwen3_moe(const Metadata& config) {
  HEARTH_ASSIGN_OR_RETURN(const bool normalized, config.bool_or("norm_topk_prob", false));
  if (!normalized) return refuse(config, "norm_topk_prob", "true");
  HEARTH_ASSIGN_OR_RETURN(const uint32_t step, config.u32_or("decoder_sparse_step", 1));
  if (step != 1) return refuse(config, "decoder_sparse_step", "1");
  HEARTH_ASSIGN_OR_RETURN(const uint32_t dense, config.u32_or("mlp_only_layers[]", 0));
  return dense == 0 ? Status() : refuse(config, "mlp_only_layers", "none");
}

/// Every fourth layer has no positions.
Status check_smollm3(const Metadata& config) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t count, config.u32_or("no_rope_layers[]", 0));
  for (uint32_t i = 0; i < count; ++i) {
    const std::string key = "no_rope_layers[" + std::to_string(i) + "]";
    HEARTH_ASSIGN_OR_RETURN(const uint32_t rotates, config.u32(key));
    if (rotates != ((i + 1) % 4 == 0 ? 0U : 1U))
      return refuse(config, key, "0 for every fourth layer, 1 for all others");
  }
  return {};
}

/// Layers with a window: all but every `period`-th.
Status check_windows(const Metadata& config, uint32_t period) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t count, config.u32_or("layer_types[]", 0));
  for (uint32_t i = 0; i < count; ++i) {
    const std::string key = "layer_types[" + std::to_string(i) + "]";
    HEARTH_ASSIGN_OR_RETURN(const std::string_view type, config.string(key));
    if (type != ((i + 1) % period == 0 ? "full_attention" : "sliding_attention"))
      return refuse(config, key,
                    "full_attention in every layer " + std::to_string(period) + " and no other");
  }
  return {};
}

/// Scores are scaled by the head's size; in the largest model by the stream's share of a head.
Status check_gemma_scale(const Metadata& config, uint32_t largest_layers) {
  if (!config.contains("query_pre_attn_scalar")) return {};
  HEARTH_ASSIGN_OR_RETURN(const float scalar, config.f32("query_pre_attn_scalar"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t layers, config.u32("num_hidden_layers"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t hidden, config.u32("hidden_size"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t heads, config.u32("num_attention_heads"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t head_dim, config.u32_or("head_dim", 256));
  const uint32_t expected = layers == largest_layers && heads > 0 ? hidden / heads : head_dim;
  return scalar == static_cast<float>(expected)
             ? Status()
             : refuse(config, "query_pre_attn_scalar", std::to_string(expected));
}

Status check_gemma2(const Metadata& config) {
  HEARTH_RETURN_IF_ERROR(check_windows(config, 2));
  return check_gemma_scale(config, 46);
}

Status check_gemma3(const Metadata& config) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t period, config.u32_or("sliding_window_pattern", 6));
  if (period == 0) return refuse(config, "sliding_window_pattern", "at least 1");
  HEARTH_RETURN_IF_ERROR(check_windows(config, period));
  return check_gemma_scale(config, 62);
}

constexpr std::array<NamePair, 2> kMixtralNumbers = {{
    {"num_local_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
}};
constexpr std::array<NamePair, 4> kMixtralNames = {{
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"block_sparse_moe.experts.*.w1", "ffn_gate.*"},
    {"block_sparse_moe.experts.*.w2", "ffn_down.*"},
    {"block_sparse_moe.experts.*.w3", "ffn_up.*"},
}};

constexpr std::array<NamePair, 3> kQwen3MoeNumbers = {{
    {"num_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
}};
constexpr std::array<NamePair, 4> kQwen3MoeNames = {{
    {"mlp.gate", "ffn_gate_inp"},
    {"mlp.experts.*.gate_proj", "ffn_gate.*"},
    {"mlp.experts.*.down_proj", "ffn_down.*"},
    {"mlp.experts.*.up_proj", "ffn_up.*"},
}};

constexpr std::array<NamePair, 4> kGraniteNumbers = {{
    {"embedding_multiplier", "embedding_scale"},
    {"attention_multiplier", "attention.scale"},
    {"residual_multiplier", "residual_scale"},
    {"logits_scaling", "logit_scale"},
}};

constexpr std::array<NamePair, 2> kPhi3Names = {{
    {"self_attn.qkv_proj", "attn_qkv"},
    {"mlp.gate_up_proj", "ffn_up"},
}};

constexpr std::array<NamePair, 2> kOlmo2Names = {{
    {"post_attention_layernorm", "post_attention_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
}};

constexpr std::array<NamePair, 4> kGemmaNumbers = {{
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"rope_local_base_freq", "rope.freq_base_swa"},
    {"sliding_window_pattern", "attention.sliding_window_pattern"},
}};
constexpr std::array<NamePair, 3> kGemmaNames = {{
    {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
}};

constexpr std::string_view kGelu = "gelu_pytorch_tanh";

const std::array<KnownModel, 13> kModels = {{
    {.model_type = "llama", .architecture = "llama", .interleaved_in_gguf = true},
    {.model_type = "mistral",
     .architecture = "llama",
     .interleaved_in_gguf = true,
     .has_windows = true},
    {.model_type = "mixtral",
     .architecture = "llama",
     .interleaved_in_gguf = true,
     .has_windows = true,
     .numbers = kMixtralNumbers,
     .layer_names = kMixtralNames},
    {.model_type = "qwen2", .architecture = "qwen2"},
    {.model_type = "qwen3", .architecture = "qwen3"},
    {.model_type = "qwen3_moe",
     .architecture = "qwen3moe",
     .numbers = kQwen3MoeNumbers,
     .layer_names = kQwen3MoeNames,
     .check = check_qwen3_moe},
    {.model_type = "gemma", .architecture = "gemma", .activation = kGelu, .norms_lack_one = true},
    {.model_type = "gemma2",
     .architecture = "gemma2",
     .activation = kGelu,
     .norms_lack_one = true,
     .has_windows = true,
     .numbers = kGemmaNumbers,
     .layer_names = kGemmaNames,
     .check = check_gemma2},
    {.model_type = "gemma3_text",
     .architecture = "gemma3",
     .activation = kGelu,
     .norms_lack_one = true,
     .has_windows = true,
     .numbers = kGemmaNumbers,
     .layer_names = kGemmaNames,
     .check = check_gemma3},
    {.model_type = "phi3", .architecture = "phi3", .has_windows = true, .layer_names = kPhi3Names},
    {.model_type = "granite",
     .architecture = "granite",
     .interleaved_in_gguf = true,
     .numbers = kGraniteNumbers},
    {.model_type = "olmo2", .architecture = "olmo2", .layer_names = kOlmo2Names},
    {.model_type = "smollm3",
     .architecture = "smollm3",
     .interleaved_in_gguf = true,
     .check = check_smollm3},
}};

constexpr std::array<NamePair, 3> kModelNames = {{
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
}};

/// Parts of a layer; ".weight" or ".bias" follows.
constexpr std::array<NamePair, 11> kLayerNames = {{
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
}};

/// The GGUF name of `part` if the pair is its; a star stands for a number in both.
std::optional<std::string> match(const NamePair& pair, std::string_view part) {
  const size_t star = pair.own.find('*');
  if (star == std::string_view::npos)
    return part == pair.own ? std::optional(std::string(pair.gguf)) : std::nullopt;
  const std::string_view before = pair.own.substr(0, star);
  const std::string_view behind = pair.own.substr(star + 1);
  if (part.size() <= before.size() + behind.size() || !part.starts_with(before) ||
      !part.ends_with(behind))
    return std::nullopt;
  const std::string_view number =
      part.substr(before.size(), part.size() - before.size() - behind.size());
  if (!std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  std::string out(pair.gguf);
  out.replace(out.find('*'), 1, number);
  return out;
}

std::string part_name(const KnownModel& model, std::string_view part) {
  for (const NamePair& pair : model.layer_names)
    if (auto name = match(pair, part)) return *std::move(name);
  for (const NamePair& pair : kLayerNames)
    if (auto name = match(pair, part)) return *std::move(name);
  return {};
}

}  // namespace

Result<const KnownModel*> find_known_model(const Metadata& config) {
  HEARTH_ASSIGN_OR_RETURN(const std::string_view type, config.string("model_type"));
  const auto* found = std::ranges::find(kModels, type, &KnownModel::model_type);
  if (found != kModels.end()) return found;
  std::string known;
  for (const KnownModel& model : kModels)
    known += (known.empty() ? "" : ", ") + std::string(model.model_type);
  return fail(ErrorCode::kUnsupported,
              config.source() + ": 'model_type': " + quote_foreign(type) + ", expected one of " +
                  known + "; other architectures are read from GGUF files",
              "model_type");
}

std::string gguf_name_of_safetensors(const KnownModel& model, std::string_view name) {
  for (const NamePair& pair : kModelNames)
    if (name == pair.own) return std::string(pair.gguf);
  constexpr std::string_view kLayers = "model.layers.";
  const size_t number_end = name.find('.', kLayers.size());
  const size_t suffix = name.rfind('.');
  if (!name.starts_with(kLayers) || number_end == std::string_view::npos || suffix <= number_end)
    return std::string(name);
  if (name.ends_with(".rotary_emb.inv_freq")) return {};  // follows from config.json
  const std::string part = part_name(model, name.substr(number_end + 1, suffix - number_end - 1));
  if (part.empty()) return std::string(name);
  std::string out = "blk.";
  out.append(name.substr(kLayers.size(), number_end - kLayers.size())).append(".");
  return out.append(part).append(name.substr(suffix));
}

}  // namespace hearth
