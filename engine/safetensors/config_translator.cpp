#include "engine/safetensors/config_translator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numbers>
#include <utility>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

/// What config.json calls a model, and what GGUF calls its architecture.
struct KnownModel {
  std::string_view model_type;
  std::string_view architecture;
};

constexpr std::array<KnownModel, 4> kModels = {{
    {"llama", "llama"},
    {"mistral", "llama"},
    {"qwen2", "qwen2"},
    {"qwen3", "qwen3"},
}};

constexpr uint32_t kMaxHeadDim = 1024;

class ConfigTranslator {
 public:
  ConfigTranslator(const Metadata& config, ParsedFile& out) : config_(config), out_(out) {}

  Status translate() {
    HEARTH_RETURN_IF_ERROR(find_model());
    HEARTH_RETURN_IF_ERROR(refuse_what_is_not_read());
    HEARTH_RETURN_IF_ERROR(sizes());
    HEARTH_RETURN_IF_ERROR(heads());
    HEARTH_RETURN_IF_ERROR(window());
    return rope();
  }

 private:
  std::unexpected<Error> wrong(std::string_view key, const std::string& found,
                               const std::string& expected,
                               ErrorCode code = ErrorCode::kMalformed) const {
    return fail(
        code,
        config_.source() + ": " + quote_foreign(key) + ": " + found + ", expected " + expected,
        std::string(key));
  }

  void put(const char* suffix, MetaValue value) {
    const std::string_view key = out_.metadata.keep(architecture_ + "." + suffix);
    out_.metadata.insert(key, value);
  }
  Status copy_u32(const char* suffix, const char* key) {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t value, config_.u32(key));
    put(suffix, uint64_t{value});
    return {};
  }

  Status find_model() {
    HEARTH_ASSIGN_OR_RETURN(const std::string_view type, config_.string("model_type"));
    const auto* found = std::ranges::find(kModels, type, &KnownModel::model_type);
    if (found == kModels.end()) {
      std::string known;
      for (const KnownModel& model : kModels)
        known += (known.empty() ? "" : ", ") + std::string(model.model_type);
      return wrong("model_type", quote_foreign(type),
                   "one of " + known + "; other architectures are read from GGUF files",
                   ErrorCode::kUnsupported);
    }
    architecture_ = found->architecture;
    out_.metadata.insert("general.architecture", found->architecture);
    // Elsewhere the halves are the architecture's own way.
    if (architecture_ == "llama") out_.metadata.insert("hearth.rope.halves", true);
    return {};
  }

  /// Values that change the model's meaning in ways the description has no place for.
  Status refuse_what_is_not_read() const {
    if (config_.contains("quantization_config.quant_method")) {
      HEARTH_ASSIGN_OR_RETURN(const auto method,
                              config_.string("quantization_config.quant_method"));
      return wrong("quantization_config.quant_method", quote_foreign(method),
                   "weights in F32, F16 or BF16; quantized models are read from GGUF files",
                   ErrorCode::kUnsupported);
    }
    HEARTH_ASSIGN_OR_RETURN(const auto activation, config_.string_or("hidden_act", "silu"));
    if (activation != "silu" && activation != "swish")
      return wrong("hidden_act", quote_foreign(activation), "silu", ErrorCode::kUnsupported);
    return {};
  }

  Status sizes() {
    HEARTH_RETURN_IF_ERROR(copy_u32("vocab_size", "vocab_size"));
    HEARTH_RETURN_IF_ERROR(copy_u32("embedding_length", "hidden_size"));
    HEARTH_RETURN_IF_ERROR(copy_u32("feed_forward_length", "intermediate_size"));
    HEARTH_RETURN_IF_ERROR(copy_u32("block_count", "num_hidden_layers"));
    HEARTH_RETURN_IF_ERROR(copy_u32("context_length", "max_position_embeddings"));
    HEARTH_ASSIGN_OR_RETURN(const float eps, config_.f32_or("rms_norm_eps", 1e-6F));
    put("attention.layer_norm_rms_epsilon", static_cast<double>(eps));
    return {};
  }

  Status heads() {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t heads, config_.u32("num_attention_heads"));
    HEARTH_ASSIGN_OR_RETURN(const uint32_t kv_heads, config_.u32_or("num_key_value_heads", heads));
    HEARTH_ASSIGN_OR_RETURN(const uint32_t hidden, config_.u32("hidden_size"));
    if (heads == 0) return wrong("num_attention_heads", "0", "at least 1");
    HEARTH_ASSIGN_OR_RETURN(head_dim_, config_.u32_or("head_dim", hidden / heads));
    if (head_dim_ == 0 || head_dim_ > kMaxHeadDim)
      return wrong("head_dim", std::to_string(head_dim_), "1 to " + std::to_string(kMaxHeadDim));
    put("attention.head_count", uint64_t{heads});
    put("attention.head_count_kv", uint64_t{kv_heads});
    put("attention.key_length", uint64_t{head_dim_});
    put("attention.value_length", uint64_t{head_dim_});
    return {};
  }

  Status window() {
    if (!config_.contains("sliding_window")) return {};
    HEARTH_ASSIGN_OR_RETURN(const uint32_t window, config_.u32("sliding_window"));
    // Qwen writes a window that it does not use; Mistral's has no such switch.
    const bool has_switch = config_.contains("use_sliding_window");
    HEARTH_ASSIGN_OR_RETURN(const bool used, config_.bool_or("use_sliding_window", true));
    if (!used) return {};
    if (has_switch)
      return wrong("use_sliding_window", "true",
                   "false: windows on some of the layers are not read", ErrorCode::kUnsupported);
    put("attention.sliding_window", uint64_t{window});
    return {};
  }

  /// A number of the rope description: new files have one object for all of it.
  Result<float> rope_number(const char* name, float fallback) const {
    for (const char* parent : {"rope_parameters.", "rope_scaling.", ""}) {
      const std::string key = std::string(parent) + name;
      if (config_.contains(key)) return config_.f32(key);
    }
    return fallback;
  }
  Result<std::string_view> rope_type() const {
    for (const char* key :
         {"rope_parameters.rope_type", "rope_scaling.rope_type", "rope_scaling.type"})
      if (config_.contains(key)) return config_.string(key);
    return std::string_view("default");
  }

  Status rope() {
    HEARTH_ASSIGN_OR_RETURN(const float base, rope_number("rope_theta", 10000.0F));
    put("rope.freq_base", static_cast<double>(base));
    HEARTH_ASSIGN_OR_RETURN(const float part, rope_number("partial_rotary_factor", 1.0F));
    if (!(part > 0.0F && part <= 1.0F))
      return wrong("partial_rotary_factor", std::to_string(part), "a number above 0 and up to 1");
    rotary_dim_ = static_cast<uint32_t>(static_cast<float>(head_dim_) * part);
    put("rope.dimension_count", uint64_t{rotary_dim_});
    HEARTH_ASSIGN_OR_RETURN(const std::string_view type, rope_type());
    if (type == "default") return {};
    HEARTH_ASSIGN_OR_RETURN(const float factor, rope_number("factor", 1.0F));
    if (type == "llama3") return llama3_factors(base, factor);
    if (type != "linear" && type != "yarn")
      return wrong("rope_scaling.rope_type", quote_foreign(type), "default, linear, yarn or llama3",
                   ErrorCode::kUnsupported);
    put("rope.scaling.type", type);
    put("rope.scaling.factor", static_cast<double>(factor));
    return type == "yarn" ? yarn() : Status();
  }

  Status yarn() {
    // The description knows the usual values alone.
    for (const auto& [name, usual] :
         {std::pair{"beta_fast", 32.0F}, std::pair{"beta_slow", 1.0F}}) {
      HEARTH_ASSIGN_OR_RETURN(const float value, rope_number(name, usual));
      if (value != usual)
        return wrong(std::string("rope_scaling.") + name, std::to_string(value),
                     std::to_string(usual), ErrorCode::kUnsupported);
    }
    for (const char* name : {"mscale", "mscale_all_dim", "attention_factor"}) {
      HEARTH_ASSIGN_OR_RETURN(const float value, rope_number(name, 0.0F));
      if (value != 0.0F)
        return wrong(std::string("rope_scaling.") + name, std::to_string(value), "no such value",
                     ErrorCode::kUnsupported);
    }
    HEARTH_ASSIGN_OR_RETURN(const float original,
                            rope_number("original_max_position_embeddings", 0.0F));
    if (original >= 1.0F && original < 2147483648.0F)
      put("rope.scaling.original_context_length", static_cast<uint64_t>(original));
    return {};
  }

  /// Llama 3.1's long context (Grattafiori et al. 2024): wavelengths beyond the original context
  /// over low_freq_factor are stretched by `factor`, those below the original context over
  /// high_freq_factor are kept, with a ramp between.
  Status llama3_factors(float base, float factor) {
    HEARTH_ASSIGN_OR_RETURN(const float low, rope_number("low_freq_factor", 1.0F));
    HEARTH_ASSIGN_OR_RETURN(const float high, rope_number("high_freq_factor", 4.0F));
    HEARTH_ASSIGN_OR_RETURN(const float original,
                            rope_number("original_max_position_embeddings", 8192.0F));
    if (!(factor >= 1.0F) || !(low > 0.0F) || !(high > low) || !(original > 0.0F) || !(base > 1.0F))
      return wrong("rope_scaling", "factors that contradict each other",
                   "factor >= 1, 0 < low_freq_factor < high_freq_factor");
    const auto count = static_cast<size_t>(rotary_dim_ / 2);
    if (count == 0) return wrong("head_dim", std::to_string(head_dim_), "at least 2");
    auto factors = std::make_unique_for_overwrite<float[]>(count);
    for (size_t i = 0; i < count; ++i) {
      const double frequency =
          std::pow(static_cast<double>(base), -2.0 * static_cast<double>(i) / rotary_dim_);
      const double wavelength = 2.0 * std::numbers::pi / frequency;
      const double turns = static_cast<double>(original) / wavelength;
      const double ramp = std::clamp((turns - static_cast<double>(low)) /
                                         (static_cast<double>(high) - static_cast<double>(low)),
                                     0.0, 1.0);
      const double scale = (1.0 - ramp) / static_cast<double>(factor) + ramp;
      factors[i] = static_cast<float>(1.0 / scale);
    }
    TensorInfo tensor{.name = "rope_freqs.weight", .dtype = DType::kF32, .num_dims = 1};
    tensor.dims[0] = static_cast<int64_t>(count);
    tensor.data = reinterpret_cast<const std::byte*>(factors.get());
    tensor.bytes = count * sizeof(float);
    out_.tensors.push_back(tensor);
    out_.copies.push_back(std::move(factors));
    return {};
  }

  const Metadata& config_;
  ParsedFile& out_;
  std::string architecture_;
  uint32_t head_dim_ = 0;
  uint32_t rotary_dim_ = 0;
};

using Names = std::pair<std::string_view, std::string_view>;

constexpr std::array<Names, 3> kModelNames = {{
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
}};

/// Parts of a layer; ".weight" or ".bias" follows.
constexpr std::array<Names, 11> kLayerNames = {{
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

}  // namespace

Status translate_config(const Metadata& config, ParsedFile& out) {
  return ConfigTranslator(config, out).translate();
}

std::string gguf_name_of_safetensors(std::string_view name) {
  for (const auto& [own, gguf] : kModelNames)
    if (name == own) return std::string(gguf);
  constexpr std::string_view kLayers = "model.layers.";
  const size_t number_end = name.find('.', kLayers.size());
  const size_t suffix = name.rfind('.');
  if (!name.starts_with(kLayers) || number_end == std::string_view::npos || suffix <= number_end)
    return std::string(name);
  if (name.ends_with(".rotary_emb.inv_freq")) return {};  // follows from config.json
  const std::string_view part = name.substr(number_end + 1, suffix - number_end - 1);
  for (const auto& [own, gguf] : kLayerNames) {
    if (part != own) continue;
    std::string out = "blk.";
    out.append(name.substr(kLayers.size(), number_end - kLayers.size())).append(".");
    out.append(gguf).append(name.substr(suffix));
    return out;
  }
  return std::string(name);
}

}  // namespace hearth
