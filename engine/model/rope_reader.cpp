#include "engine/model/rope_reader.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>

#include "engine/gguf/quote.h"
#include "engine/model/key_reader.h"

namespace hearth {
namespace {

/// What a file says of YaRN, besides the factor.
struct Yarn {
  double original_context;
  double beta_fast;  // rotations in the original context from which on frequencies are kept
  double beta_slow;  // up to which they are interpolated
  YarnRange range;
};

/// YaRN (Peng et al. 2023, section 3): low frequencies are interpolated by `factor`, high ones
/// kept, with a linear ramp between.
void apply_yarn(RopeConfig& rope, double base, double factor, const Yarn& yarn) {
  const double dim = rope.rotary_dim;
  const auto dimension_of = [&](double rotations) {
    return dim * std::log(yarn.original_context / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(base));
  };
  const bool whole = yarn.range == YarnRange::kWhole;
  double low = dimension_of(yarn.beta_fast);
  double high = dimension_of(yarn.beta_slow);
  low = std::max(0.0, whole ? std::floor(low) : low);
  high = std::min(dim - 1.0, whole ? std::ceil(high) : high);
  for (size_t i = 0; i < rope.inverse_frequency.size(); ++i) {
    const double ramp =
        std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
    const double kept = rope.inverse_frequency[i];
    rope.inverse_frequency[i] = kept / factor * ramp + kept * (1.0 - ramp);
  }
}

/// Divides the frequencies by the tensor's factors.
Status apply_factors(const ModelFile& file, const TensorInfo& factors,
                     std::vector<double>& frequencies) {
  const std::string source = file.path().filename().string();
  const size_t pairs = frequencies.size();
  if (factors.dtype != DType::kF32 || factors.bytes != pairs * sizeof(float)) {
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: {} has {} bytes of {}, expected {} f32 values", source,
                            factors.name, factors.bytes, dtype_info(factors.dtype).name, pairs),
                std::string(factors.name));
  }
  for (size_t i = 0; i < pairs; ++i) {
    float factor;
    std::memcpy(&factor, factors.data + i * sizeof(float), sizeof(float));
    if (!(factor > 0.0F) || !std::isfinite(factor)) {
      return fail(ErrorCode::kMalformed,
                  fmt::format("{}: {}[{}] is {}, expected a positive number", source, factors.name,
                              i, factor),
                  std::string(factors.name));
    }
    frequencies[i] /= static_cast<double>(factor);
  }
  return {};
}

/// longrope (Ding et al. 2024): two sets of factors, for contexts up to and beyond the original
/// one, and a magnitude for both.
Status apply_longrope(const ModelFile& file, const KeyReader& keys, const ModelConfig& config,
                      RopeConfig& rope) {
  const TensorInfo* long_factors = file.find_tensor("rope_factors_long.weight");
  const TensorInfo* short_factors = file.find_tensor("rope_factors_short.weight");
  if (long_factors == nullptr || short_factors == nullptr) {
    const char* missing =
        long_factors == nullptr ? "rope_factors_long.weight" : "rope_factors_short.weight";
    return fail(ErrorCode::kMalformed,
                fmt::format("{}: has no tensor {}", file.path().filename().string(), missing),
                missing);
  }
  HEARTH_ASSIGN_OR_RETURN(rope.original_context,
                          keys.size("rope.scaling.original_context_length", kMaxContext));
  const double stretch =
      static_cast<double>(config.context_length) / static_cast<double>(rope.original_context);
  const double magnitude =
      stretch > 1.0 ? std::sqrt(1.0 + std::log(stretch) / std::log(rope.original_context)) : 1.0;
  HEARTH_ASSIGN_OR_RETURN(
      rope.magnitude, keys.positive_or("rope.scaling.attn_factor", static_cast<float>(magnitude)));
  rope.long_inverse_frequency = rope.inverse_frequency;
  HEARTH_RETURN_IF_ERROR(apply_factors(file, *long_factors, rope.long_inverse_frequency));
  return apply_factors(file, *short_factors, rope.inverse_frequency);
}

Status apply_scaling(const ModelFile& file, const KeyReader& keys, const ModelConfig& config,
                     double base, YarnRange range, RopeConfig& rope) {
  // Files of 2023 write the linear factor as rope.scale_linear and no type; those with longrope may
  // name no type either: its factors, or a first context shorter than the last, tell.
  const bool has_factors = file.find_tensor("rope_factors_long.weight") != nullptr ||
                           file.find_tensor("rope_factors_short.weight") != nullptr;
  HEARTH_ASSIGN_OR_RETURN(const float old_linear, keys.positive_or("rope.scale_linear", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(
      const uint32_t first_context,
      keys.metadata().u32_or(keys.key("rope.scaling.original_context_length"), 0));
  const bool stretched = first_context > 0 && std::cmp_less(first_context, config.context_length);
  const char* unnamed = has_factors || stretched ? "longrope"
                        : old_linear == 1.0F     ? "none"
                                                 : "linear";
  HEARTH_ASSIGN_OR_RETURN(const std::string_view type,
                          keys.metadata().string_or(keys.key("rope.scaling.type"), unnamed));
  HEARTH_ASSIGN_OR_RETURN(const float factor, keys.positive_or("rope.scaling.factor", old_linear));
  if (has_factors || type == "longrope") return apply_longrope(file, keys, config, rope);
  if (type == "none") return {};
  if (type == "linear") {
    for (double& f : rope.inverse_frequency) f /= static_cast<double>(factor);
    return {};
  }
  if (type != "yarn")
    return keys.bad("rope.scaling.type", quote_foreign(type), "none, linear, yarn or longrope");
  HEARTH_ASSIGN_OR_RETURN(const int32_t original,
                          keys.size_or("rope.scaling.original_context_length",
                                       static_cast<uint32_t>(config.context_length), kMaxContext));
  HEARTH_ASSIGN_OR_RETURN(const float fast, keys.positive_or("rope.scaling.yarn_beta_fast", 32.0F));
  HEARTH_ASSIGN_OR_RETURN(const float slow, keys.positive_or("rope.scaling.yarn_beta_slow", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(const float attn_factor,
                          keys.positive_or("rope.scaling.attn_factor", 1.0F));
  apply_yarn(
      rope, base, static_cast<double>(factor),
      {static_cast<double>(original), static_cast<double>(fast), static_cast<double>(slow), range});
  if (factor > 1.0F)
    rope.magnitude = static_cast<float>(0.1 * std::log(static_cast<double>(factor)) + 1.0);
  rope.magnitude *= attn_factor;
  return {};
}

/// Frequencies before any scaling.
Result<RopeConfig> plain_rope(const KeyReader& keys, const ModelConfig& config,
                              kernels::RopeStyle style, const char* base_key, float base) {
  RopeConfig rope;
  // Safetensors folders keep the halves where GGUF files have interleaved pairs.
  HEARTH_ASSIGN_OR_RETURN(const bool halves, keys.metadata().bool_or("hearth.rope.halves", false));
  rope.style = halves ? kernels::RopeStyle::kHalves : style;
  HEARTH_ASSIGN_OR_RETURN(
      rope.rotary_dim,
      keys.size_or("rope.dimension_count", static_cast<uint32_t>(config.head_dim), kMaxHeadSize));
  if (rope.rotary_dim % 2 != 0 || rope.rotary_dim > config.head_dim) {
    return keys.bad("rope.dimension_count", rope.rotary_dim,
                    fmt::format("an even number up to the head size {}", config.head_dim));
  }
  if (base <= 1.0F) return keys.bad(base_key, base, "a number above 1");
  for (int32_t i = 0; i < rope.rotary_dim / 2; ++i) {
    rope.inverse_frequency.push_back(
        std::pow(static_cast<double>(base), -2.0 * i / rope.rotary_dim));
  }
  return rope;
}

}  // namespace

Result<RopeConfig> read_rope(const ModelFile& file, const ModelConfig& config,
                             kernels::RopeStyle style, YarnRange range) {
  const KeyReader keys(file, config.architecture);
  HEARTH_ASSIGN_OR_RETURN(const float base, keys.positive_or("rope.freq_base", 10000.0F));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, plain_rope(keys, config, style, "rope.freq_base", base));
  HEARTH_RETURN_IF_ERROR(apply_scaling(file, keys, config, base, range, rope));
  if (const TensorInfo* factors = file.find_tensor("rope_freqs.weight"); factors != nullptr)
    HEARTH_RETURN_IF_ERROR(apply_factors(file, *factors, rope.inverse_frequency));
  return rope;
}

Result<RopeConfig> read_local_rope(const ModelFile& file, const ModelConfig& config,
                                   kernels::RopeStyle style, const char* key, float fallback) {
  const KeyReader keys(file, config.architecture);
  HEARTH_ASSIGN_OR_RETURN(const float base, keys.positive_or(key, fallback));
  return plain_rope(keys, config, style, key, base);
}

}  // namespace hearth
