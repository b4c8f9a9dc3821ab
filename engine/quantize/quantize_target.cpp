#include "engine/quantize/quantize_target.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

constexpr std::array kTargets = {
    QuantizeTarget{"F32", DType::kF32, Mix::kNone, 0},
    QuantizeTarget{"F16", DType::kF16, Mix::kNone, 1},
    QuantizeTarget{"BF16", DType::kBF16, Mix::kNone, 32},
    QuantizeTarget{"Q8_0", DType::kQ8_0, Mix::kNone, 7},
    QuantizeTarget{"Q4_0", DType::kQ4_0, Mix::kNone, 2},
    QuantizeTarget{"Q4_1", DType::kQ4_1, Mix::kNone, 3},
    QuantizeTarget{"Q5_0", DType::kQ5_0, Mix::kNone, 8},
    QuantizeTarget{"Q5_1", DType::kQ5_1, Mix::kNone, 9},
    QuantizeTarget{"IQ4_NL", DType::kIQ4_NL, Mix::kNone, 25},
    QuantizeTarget{"IQ4_XS", DType::kIQ4_XS, Mix::kNone, 30},
    QuantizeTarget{"MXFP4", DType::kMXFP4, Mix::kLayers, 38},
    QuantizeTarget{"MXFP4_MOE", DType::kMXFP4, Mix::kExperts, 38},
    QuantizeTarget{"TQ1_0", DType::kTQ1_0, Mix::kLayers, 36},
    QuantizeTarget{"TQ2_0", DType::kTQ2_0, Mix::kLayers, 37},
    QuantizeTarget{"Q2_K", DType::kQ2_K, Mix::kNone, 10},
    QuantizeTarget{"Q3_K", DType::kQ3_K, Mix::kNone, 11},
    QuantizeTarget{"Q3_K_S", DType::kQ3_K, Mix::kSmall, 11},
    QuantizeTarget{"Q3_K_M", DType::kQ3_K, Mix::kMedium, 12},
    QuantizeTarget{"Q3_K_L", DType::kQ3_K, Mix::kLarge, 13},
    QuantizeTarget{"Q4_K", DType::kQ4_K, Mix::kNone, 14},
    QuantizeTarget{"Q4_K_S", DType::kQ4_K, Mix::kSmall, 14},
    QuantizeTarget{"Q4_K_M", DType::kQ4_K, Mix::kMedium, 15},
    QuantizeTarget{"Q5_K", DType::kQ5_K, Mix::kNone, 16},
    QuantizeTarget{"Q5_K_S", DType::kQ5_K, Mix::kSmall, 16},
    QuantizeTarget{"Q5_K_M", DType::kQ5_K, Mix::kMedium, 17},
    QuantizeTarget{"Q6_K", DType::kQ6_K, Mix::kNone, 18},
};

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
  return out;
}

/// N of "blk.N.…".
std::optional<int32_t> layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int32_t layer = 0;
  const char* end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kPrefix.size(), end, layer);
  if (error != std::errc() || after == end || *after != '.') return std::nullopt;
  return layer;
}

/// "attn_v" of "blk.3.attn_v.weight"; stacks of experts by the name of the matrix they are of.
std::string_view part_of(std::string_view name) {
  const size_t suffix = name.rfind('.');
  const size_t begin = name.find('.', 4);
  if (begin == std::string_view::npos || suffix <= begin) return {};
  std::string_view part = name.substr(begin + 1, suffix - begin - 1);
  for (const std::string_view experts : {"_exps", "_shexp"})
    if (part.ends_with(experts)) part.remove_suffix(experts.size());
  return part;
}

/// The first and last eighth of the layers and every third between them: errors of the first ones
/// run through all others, those of the last ones reach the output as they are.
bool is_sensitive_layer(int32_t layer, int32_t num_layers) {
  const int32_t eighth = num_layers / 8;
  return layer < eighth || layer >= 7 * num_layers / 8 || (layer - eighth) % 3 == 2;
}

struct Place {
  int32_t layer;
  int32_t num_layers;
  std::string_view part;
};

DType type_in_q3_mix(Mix mix, const Place& at) {
  if (mix == Mix::kSmall) return DType::kQ3_K;
  if (at.part == "attn_v") return mix == Mix::kLarge || at.layer < 2 ? DType::kQ5_K : DType::kQ4_K;
  if (at.part == "ffn_down")
    return mix == Mix::kLarge || at.layer < at.num_layers / 16 ? DType::kQ5_K : DType::kQ4_K;
  if (at.part == "attn_output") return mix == Mix::kLarge ? DType::kQ5_K : DType::kQ4_K;
  if (at.part == "attn_qkv") return DType::kQ4_K;
  return DType::kQ3_K;
}

DType type_in_q4_mix(Mix mix, const Place& at) {
  const bool sensitive = is_sensitive_layer(at.layer, at.num_layers);
  if (at.part == "attn_v") {
    if (mix == Mix::kSmall) return at.layer < 4 ? DType::kQ5_K : DType::kQ4_K;
    return sensitive ? DType::kQ6_K : DType::kQ4_K;
  }
  if (at.part == "ffn_down") {
    if (mix == Mix::kSmall) return at.layer < at.num_layers / 8 ? DType::kQ5_K : DType::kQ4_K;
    return sensitive ? DType::kQ6_K : DType::kQ4_K;
  }
  if (at.part == "attn_qkv" && mix == Mix::kMedium) return DType::kQ5_K;
  return DType::kQ4_K;
}

DType type_in_q5_mix(Mix mix, const Place& at) {
  if (mix == Mix::kSmall) return DType::kQ5_K;
  if (at.part == "attn_v" || at.part == "ffn_down")
    return is_sensitive_layer(at.layer, at.num_layers) ? DType::kQ6_K : DType::kQ5_K;
  return at.part == "attn_qkv" ? DType::kQ6_K : DType::kQ5_K;
}

}  // namespace

Result<const QuantizeTarget*> find_quantize_target(std::string_view name) {
  const std::string wanted = upper(name);
  for (const QuantizeTarget& target : kTargets)
    if (target.name == wanted) return &target;
  std::string known;
  for (const QuantizeTarget& target : kTargets)
    known += (known.empty() ? "" : ", ") + std::string(target.name);
  return fail(ErrorCode::kInvalidArgument, "TYPE: " + quote_foreign(name) + ", expected " + known,
              "TYPE");
}

std::vector<std::string> quantize_target_names() {
  std::vector<std::string> out;
  for (const QuantizeTarget& target : kTargets) out.emplace_back(target.name);
  return out;
}

uint32_t file_type_of(DType dtype) {
  const auto* found = std::ranges::find(kTargets, dtype, &QuantizeTarget::dtype);
  return found == kTargets.end() ? 0 : found->file_type;
}

ModelShape shape_of(const ModelFile& file) {
  ModelShape shape{.tied_embeddings = file.find_tensor("output.weight") == nullptr};
  for (const TensorInfo& tensor : file.tensors())
    shape.num_layers = std::max(shape.num_layers, layer_of(tensor.name).value_or(-1) + 1);
  return shape;
}

bool is_quantizable(std::string_view name, uint32_t num_dims) {
  if (num_dims < 2 || !name.ends_with(".weight")) return false;
  if (name == "token_embd.weight" || name == "output.weight") return true;
  // A few values each, and a wrong choice of experts costs more than they weigh.
  for (const std::string_view kept : {"norm", "ffn_gate_inp", "position_embd", "token_types"})
    if (name.find(kept) != std::string_view::npos) return false;
  return layer_of(name).has_value();
}

DType wanted_type(const QuantizeTarget& target, const ModelShape& shape, std::string_view name) {
  if (target.mix == Mix::kNone) return target.dtype;
  if (target.mix == Mix::kExperts)
    return name.find("_exps.") == std::string_view::npos ? DType::kQ8_0 : target.dtype;
  if (target.mix == Mix::kLayers && !layer_of(name))
    return target.dtype == DType::kMXFP4 ? DType::kQ8_0 : DType::kQ6_K;
  if (name == "output.weight" || (name == "token_embd.weight" && shape.tied_embeddings))
    return DType::kQ6_K;
  const auto layer = layer_of(name);
  if (!layer) return target.dtype;
  const Place at{*layer, shape.num_layers, part_of(name)};
  switch (target.dtype) {
    case DType::kQ3_K:
      return type_in_q3_mix(target.mix, at);
    case DType::kQ4_K:
      return type_in_q4_mix(target.mix, at);
    case DType::kQ5_K:
      return type_in_q5_mix(target.mix, at);
    default:
      return target.dtype;
  }
}

DType fitting_type(DType wanted, int64_t cols) {
  if (cols % dtype_info(wanted).block_size == 0) return wanted;
  if (cols % 32 != 0) return DType::kF16;
  switch (wanted) {
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kIQ4_XS:
      return DType::kIQ4_NL;
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      return DType::kQ4_0;
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kQ5_K:
      return DType::kQ5_1;
    default:
      return DType::kQ8_0;
  }
}

}  // namespace hearth
