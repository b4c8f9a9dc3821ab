#include "engine/model/config_reader.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

// Limits that hold for every published model with room to spare. They keep products of two sizes
// far below 2^63 and refuse a lying file before anything is allocated.
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxWidth = 1U << 20;
constexpr uint32_t kMaxHeads = 4096;
constexpr uint32_t kMaxHeadDim = 1024;
constexpr uint32_t kMaxContext = 1U << 26;
constexpr int64_t kMaxVocab = (1 << 20) - 1;  // what the sampler's packed candidates hold

/// Reads "<arch>.<suffix>" values and says which key was wrong.
class KeyReader {
 public:
  KeyReader(const ModelFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  [[nodiscard]] std::string key(const char* suffix) const { return architecture_ + "." + suffix; }
  [[nodiscard]] const Metadata& metadata() const { return file_.metadata(); }

  /// A required integer in [1, limit].
  [[nodiscard]] Result<int32_t> size(const char* suffix, uint32_t limit) const {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t value, metadata().u32(key(suffix)));
    return checked(suffix, value, limit);
  }
  [[nodiscard]] Result<int32_t> size_or(const char* suffix, uint32_t fallback,
                                        uint32_t limit) const {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t value, metadata().u32_or(key(suffix), fallback));
    return checked(suffix, value, limit);
  }
  [[nodiscard]] Result<float> positive_f32_or(const char* suffix, float fallback) const {
    HEARTH_ASSIGN_OR_RETURN(const float value, metadata().f32_or(key(suffix), fallback));
    if (!(value > 0.0F) || !std::isfinite(value)) return bad(suffix, value, "a positive number");
    return value;
  }

  template <typename T>
  [[nodiscard]] std::unexpected<Error> bad(const char* suffix, const T& value,
                                           std::string_view expected) const {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: {} is {}, expected {}", file_.path().filename().string(),
                            key(suffix), value, expected),
                key(suffix));
  }

 private:
  [[nodiscard]] Result<int32_t> checked(const char* suffix, uint32_t value, uint32_t limit) const {
    if (value < 1 || value > limit) return bad(suffix, value, fmt::format("1 to {}", limit));
    return static_cast<int32_t>(value);
  }

  const ModelFile& file_;
  std::string architecture_;
};

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
  if (!keys.metadata().contains(keys.key("attention.key_length")) &&
      config.hidden_size % config.num_heads != 0) {
    return keys.bad("attention.head_count", config.num_heads,
                    fmt::format("a divisor of embedding_length = {}", config.hidden_size));
  }
  HEARTH_ASSIGN_OR_RETURN(
      config.head_dim, keys.size_or("attention.key_length",
                                    static_cast<uint32_t>(std::max(even_split, 1)), kMaxHeadDim));
  HEARTH_ASSIGN_OR_RETURN(
      const int32_t value_dim,
      keys.size_or("attention.value_length", static_cast<uint32_t>(config.head_dim), kMaxHeadDim));
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

/// YaRN (Peng et al. 2023, section 3): low frequencies are interpolated by `factor`, high ones
/// kept, with a linear ramp between the dimensions that turn 32 times and once in the original
/// context.
void apply_yarn(RopeConfig& rope, double base, double factor, double original_context) {
  constexpr double kBetaFast = 32.0;
  constexpr double kBetaSlow = 1.0;
  const double dim = rope.rotary_dim;
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(original_context / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(base));
  };
  const double low = std::max(0.0, std::floor(dimension_of(kBetaFast)));
  const double high = std::min(dim - 1.0, std::ceil(dimension_of(kBetaSlow)));
  for (size_t i = 0; i < rope.inverse_frequency.size(); ++i) {
    const double ramp =
        std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
    const double kept = rope.inverse_frequency[i];
    rope.inverse_frequency[i] = kept / factor * ramp + kept * (1.0 - ramp);
  }
}

/// llama3's long context: a tensor of factors that divide the inverse frequencies.
Status apply_factors(const ModelFile& file, RopeConfig& rope) {
  const TensorInfo* factors = file.find_tensor("rope_freqs.weight");
  if (factors == nullptr) return {};
  const size_t pairs = rope.inverse_frequency.size();
  if (factors->dtype != DType::kF32 || factors->bytes != pairs * sizeof(float)) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: rope_freqs.weight has {} bytes of {}, expected {} f32 values",
                            file.path().filename().string(), factors->bytes,
                            dtype_info(factors->dtype).name, pairs),
                "rope_freqs.weight");
  }
  for (size_t i = 0; i < pairs; ++i) {
    float factor;
    std::memcpy(&factor, factors->data + i * sizeof(float), sizeof(float));
    if (!(factor > 0.0F) || !std::isfinite(factor)) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("{}: rope_freqs.weight[{}] is {}, expected a positive number",
                              file.path().filename().string(), i, factor),
                  "rope_freqs.weight");
    }
    rope.inverse_frequency[i] /= static_cast<double>(factor);
  }
  return {};
}

Status apply_scaling(const KeyReader& keys, const ModelConfig& config, double base,
                     RopeConfig& rope) {
  // Files of 2023 write the linear factor as rope.scale_linear and no type.
  HEARTH_ASSIGN_OR_RETURN(const float old_linear, keys.positive_f32_or("rope.scale_linear", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(const std::string_view type,
                          keys.metadata().string_or(keys.key("rope.scaling.type"),
                                                    old_linear == 1.0F ? "none" : "linear"));
  HEARTH_ASSIGN_OR_RETURN(const float factor,
                          keys.positive_f32_or("rope.scaling.factor", old_linear));
  if (type == "none") return {};
  if (type == "linear") {
    for (double& f : rope.inverse_frequency) f /= static_cast<double>(factor);
    return {};
  }
  if (type == "yarn") {
    HEARTH_ASSIGN_OR_RETURN(
        const int32_t original,
        keys.size_or("rope.scaling.original_context_length",
                     static_cast<uint32_t>(config.context_length), kMaxContext));
    HEARTH_ASSIGN_OR_RETURN(const float attn_factor,
                            keys.positive_f32_or("rope.scaling.attn_factor", 1.0F));
    apply_yarn(rope, base, static_cast<double>(factor), original);
    if (factor > 1.0F)
      rope.magnitude = static_cast<float>(0.1 * std::log(static_cast<double>(factor)) + 1.0);
    rope.magnitude *= attn_factor;
    return {};
  }
  return keys.bad("rope.scaling.type", quote_foreign(type), "none, linear or yarn");
}

}  // namespace

Result<ModelConfig> read_common_config(const ModelFile& file) {
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
  HEARTH_ASSIGN_OR_RETURN(config.rms_norm_eps,
                          keys.positive_f32_or("attention.layer_norm_rms_epsilon", 1e-5F));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t window,
                          file.metadata().u32_or(keys.key("attention.sliding_window"), 0));
  config.sliding_window = static_cast<int32_t>(std::min<uint32_t>(window, kMaxContext));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t experts,
                          file.metadata().u32_or(keys.key("expert_count"), 0));
  if (experts != 0) {
    return fail(ErrorCode::kUnsupported,
                fmt::format("{}: {} is {}; mixtures of experts are not supported",
                            file.path().filename().string(), keys.key("expert_count"), experts),
                keys.key("expert_count"));
  }
  HEARTH_ASSIGN_OR_RETURN(config.vocab_size, read_vocab_size(file));
  return config;
}

Result<RopeConfig> read_rope(const ModelFile& file, const ModelConfig& config,
                             kernels::RopeStyle style) {
  const KeyReader keys(file, config.architecture);
  RopeConfig rope;
  // Safetensors folders keep the halves where GGUF files have interleaved pairs.
  HEARTH_ASSIGN_OR_RETURN(const bool halves, file.metadata().bool_or("hearth.rope.halves", false));
  rope.style = halves ? kernels::RopeStyle::kHalves : style;
  HEARTH_ASSIGN_OR_RETURN(
      rope.rotary_dim,
      keys.size_or("rope.dimension_count", static_cast<uint32_t>(config.head_dim), kMaxHeadDim));
  if (rope.rotary_dim % 2 != 0 || rope.rotary_dim > config.head_dim) {
    return keys.bad("rope.dimension_count", rope.rotary_dim,
                    fmt::format("an even number up to the head size {}", config.head_dim));
  }
  HEARTH_ASSIGN_OR_RETURN(const float base, keys.positive_f32_or("rope.freq_base", 10000.0F));
  if (base <= 1.0F) return keys.bad("rope.freq_base", base, "a number above 1");
  const int32_t pairs = rope.rotary_dim / 2;
  for (int32_t i = 0; i < pairs; ++i) {
    rope.inverse_frequency.push_back(
        std::pow(static_cast<double>(base), -2.0 * i / rope.rotary_dim));
  }
  HEARTH_RETURN_IF_ERROR(apply_scaling(keys, config, base, rope));
  HEARTH_RETURN_IF_ERROR(apply_factors(file, rope));
  return rope;
}

}  // namespace hearth
