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

constexpr uint32_t kMaxHeadDim = 1024;

class ConfigTranslator {
 public:
  ConfigTranslator(const Metadata& config, const KnownModel& model, ParsedFile& out)
      : config_(config), model_(model), out_(out), architecture_(model.architecture) {}

  Status translate() {
    out_.metadata.insert("general.architecture", model_.architecture);
    if (model_.interleaved_in_gguf) out_.metadata.insert("hearth.rope.halves", true);
    HEARTH_RETURN_IF_ERROR(refuse_what_is_not_read());
    if (model_.check != nullptr) HEARTH_RETURN_IF_ERROR(model_.check(config_));
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

  /// Values that change the model's meaning in ways the description has no place for.
  Status refuse_what_is_not_read() const {
    if (config_.contains("quantization_config.quant_method")) {
      HEARTH_ASSIGN_OR_RETURN(const auto method,
                              config_.string("quantization_config.quant_method"));
      return wrong("quantization_config.quant_method", quote_foreign(method),
                   "weights in F32, F16 or BF16; quantized models are read from GGUF files",
                   ErrorCode::kUnsupported);
    }
    // Gemma's older name is wrong in its first files: the newer one counts.
    const char* key = config_.contains("hidden_activation") ? "hidden_activation" : "hidden_act";
    HEARTH_ASSIGN_OR_RETURN(const auto activation, config_.string_or(key, model_.activation));
    const bool is_same = activation == model_.activation ||
                         (activation == "swish" && model_.activation == "silu") ||
                         (activation == "gelu" && model_.architecture == "gemma");
    if (!is_same)
      return wrong(key, quote_foreign(activation), std::string(model_.activation),
                   ErrorCode::kUnsupported);
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
    for (const NamePair& number : model_.numbers) {
      if (!config_.contains(number.own)) continue;
      HEARTH_ASSIGN_OR_RETURN(const float value, config_.f32(number.own));
      const auto whole = static_cast<uint64_t>(std::clamp(value, 0.0F, 1e9F));
      const bool is_whole = static_cast<float>(whole) == value;
      put(std::string(number.gguf).c_str(),
          is_whole ? MetaValue(whole) : MetaValue(static_cast<double>(value)));
    }
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
    if (type == "longrope" || type == "su") return longrope();
    if (type != "linear" && type != "yarn")
      return wrong("rope_scaling.rope_type", quote_foreign(type),
                   "default, linear, yarn, llama3 or longrope", ErrorCode::kUnsupported);
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
    put_vector("rope_freqs.weight", std::move(factors), count);
    return {};
  }

  /// longrope (Ding et al. 2024): one factor per frequency, for short and for long contexts.
  Status longrope() {
    HEARTH_ASSIGN_OR_RETURN(const float original,
                            rope_number("original_max_position_embeddings", 0.0F));
    if (!(original >= 1.0F) || original >= 2147483648.0F)
      return wrong("original_max_position_embeddings", std::to_string(original), "at least 1");
    put("rope.scaling.type", std::string_view("longrope"));
    put("rope.scaling.original_context_length", static_cast<uint64_t>(original));
    HEARTH_RETURN_IF_ERROR(longrope_factors("short_factor", "rope_factors_short.weight"));
    return longrope_factors("long_factor", "rope_factors_long.weight");
  }
  Status longrope_factors(const char* name, const char* tensor) {
    const size_t count = rotary_dim_ / 2;
    if (count == 0) return wrong("head_dim", std::to_string(head_dim_), "at least 2");
    auto factors = std::make_unique_for_overwrite<float[]>(count);
    for (size_t i = 0; i < count; ++i) {
      HEARTH_ASSIGN_OR_RETURN(
          factors[i], rope_number((std::string(name) + "[" + std::to_string(i) + "]").c_str(), 0));
      if (!(factors[i] > 0.0F) || !std::isfinite(factors[i]))
        return wrong(std::string("rope_scaling.") + name, "not enough positive numbers",
                     std::to_string(count) + ", half of the rotated values of a head");
    }
    put_vector(tensor, std::move(factors), count);
    return {};
  }

  /// A tensor that no file has.
  void put_vector(const char* name, std::unique_ptr<float[]> values, size_t count) {
    TensorInfo tensor{.name = name, .dtype = DType::kF32, .num_dims = 1};
    tensor.dims[0] = static_cast<int64_t>(count);
    tensor.data = reinterpret_cast<const std::byte*>(values.get());
    tensor.bytes = count * sizeof(float);
    out_.tensors.push_back(tensor);
    out_.copies.push_back(std::move(values));
  }

  const Metadata& config_;
  const KnownModel& model_;
  ParsedFile& out_;
  std::string architecture_;
  uint32_t head_dim_ = 0;
  uint32_t rotary_dim_ = 0;
};

}  // namespace

Status translate_config(const Metadata& config, const KnownModel& model, ParsedFile& out) {
  return ConfigTranslator(config, model, out).translate();
}

}  // namespace hearth
