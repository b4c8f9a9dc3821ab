#include "engine/synth/synth_options.h"

#include <array>
#include <type_traits>

#include "engine/gguf/quote.h"
#include "engine/synth/builtin_vocab.h"

namespace hearth {
namespace {

constexpr std::array kTypes = {
    SynthType{"f32", DType::kF32, false, 0},
    SynthType{"f16", DType::kF16, false, 1},
    SynthType{"bf16", DType::kBF16, false, 32},
    SynthType{"q4_0", DType::kQ4_0, false, 2},
    SynthType{"q4_1", DType::kQ4_1, false, 3},
    SynthType{"q5_0", DType::kQ5_0, false, 8},
    SynthType{"q5_1", DType::kQ5_1, false, 9},
    SynthType{"q8_0", DType::kQ8_0, false, 7},
    SynthType{"q2_k", DType::kQ2_K, false, 10},
    SynthType{"q3_k", DType::kQ3_K, false, 11},
    SynthType{"q4_k", DType::kQ4_K, false, 14},
    SynthType{"q5_k", DType::kQ5_K, false, 16},
    SynthType{"q6_k", DType::kQ6_K, false, 18},
    SynthType{"iq4_nl", DType::kIQ4_NL, false, 25},
    SynthType{"iq4_xs", DType::kIQ4_XS, false, 30},
    SynthType{"mxfp4", DType::kMXFP4, false, 38},
    SynthType{"tq1_0", DType::kTQ1_0, false, 36},
    SynthType{"tq2_0", DType::kTQ2_0, false, 37},
    SynthType{"iq2_xxs", DType::kIQ2_XXS, false, 19},
    SynthType{"iq2_xs", DType::kIQ2_XS, false, 20},
    SynthType{"iq2_s", DType::kIQ2_S, false, 28},
    SynthType{"iq3_xxs", DType::kIQ3_XXS, false, 23},
    SynthType{"iq3_s", DType::kIQ3_S, false, 26},
    SynthType{"iq1_s", DType::kIQ1_S, false, 24},
    SynthType{"iq1_m", DType::kIQ1_M, false, 31},
    SynthType{"q4_k_m", DType::kQ4_K, true, 15},
};

/// What differs between architectures with and without grouped queries.
struct Heads {
  int32_t num_kv_heads;
  int32_t ffn_size;
};

struct Preset {
  std::string_view name;
  int32_t layers, hidden_size, num_heads, head_dim, vocab_size, context_length;
  Heads plain, grouped;
};

// "7b" is Llama 2 7B or, grouped, Mistral 7B.
constexpr std::array kPresets = {
    Preset{"tiny", 2, 64, 4, 32, 512, 2048, {4, 192}, {2, 192}},
    Preset{"120m", 12, 768, 12, 64, 32000, 2048, {12, 2048}, {4, 2048}},
    Preset{"1.1b", 22, 2048, 32, 64, 32000, 2048, {4, 5632}, {4, 5632}},
    Preset{"7b", 32, 4096, 32, 128, 32000, 4096, {32, 11008}, {8, 14336}},
};
// Stands in for "tiny" where the type's blocks have 256 values.
constexpr Preset kTiny256{"tiny", 2, 256, 4, 64, 512, 2048, {4, 512}, {2, 512}};

template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> out;
  for (const auto& row : table) out.emplace_back(row.name);
  return out;
}

std::unexpected<Error> bad_option(std::string_view option, const std::string& value,
                                  const std::string& expected) {
  return fail(ErrorCode::kInvalidArgument,
              std::string(option) + ": " + value + ", expected " + expected, std::string(option));
}

template <typename Table>
auto find_row(const Table& table, std::string_view option, std::string_view name)
    -> Result<const std::remove_cvref_t<decltype(*table.begin())>*> {
  std::string choices;
  for (const auto& row : table) {
    if (row.name == name) return &row;
    choices += (choices.empty() ? "" : ", ") + std::string(row.name);
  }
  return bad_option(option, quote_foreign(name), "one of " + choices);
}

Status check_range(std::string_view option, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return bad_option(option, std::to_string(value),
                    std::to_string(low) + " to " + std::to_string(high));
}

}  // namespace

Result<const SynthArch*> find_synth_arch(std::string_view name) {
  return find_row(synth_arch_table(), "arch", name);
}

Result<const SynthType*> find_synth_type(std::string_view name) {
  return find_row(kTypes, "type", name);
}

std::vector<std::string> synth_architectures() { return names_of(synth_arch_table()); }
std::vector<std::string> synth_types() { return names_of(kTypes); }
std::vector<std::string> synth_presets() { return names_of(kPresets); }

Result<SynthOptions> synth_preset(std::string_view preset, std::string_view arch,
                                  std::string_view type) {
  HEARTH_ASSIGN_OR_RETURN(const SynthArch* arch_row, find_synth_arch(arch));
  HEARTH_ASSIGN_OR_RETURN(const SynthType* type_row, find_synth_type(type));
  HEARTH_ASSIGN_OR_RETURN(const Preset* shape, find_row(kPresets, "preset", preset));
  if (shape->hidden_size % dtype_info(type_row->dtype).block_size != 0) shape = &kTiny256;
  SynthOptions options;
  options.arch = arch;
  options.type = type;
  options.layers = shape->layers;
  options.hidden_size = shape->hidden_size;
  options.num_heads = shape->num_heads;
  const Heads& heads = arch_row->grouped_queries ? shape->grouped : shape->plain;
  options.num_kv_heads = arch_row->one_kv_head ? 1 : heads.num_kv_heads;
  options.head_dim = shape->head_dim;
  options.ffn_size = heads.ffn_size;
  options.vocab_size = shape->vocab_size;
  options.context_length = shape->context_length;
  options.name = "synth-" + std::string(arch) + "-" + std::string(preset) + "-" + std::string(type);
  return options;
}

Status check_synth_options(const SynthOptions& options, int64_t vocab_size) {
  HEARTH_ASSIGN_OR_RETURN(const SynthType* type, find_synth_type(options.type));
  HEARTH_RETURN_IF_ERROR(check_range("layers", options.layers, 1, 1024));
  HEARTH_RETURN_IF_ERROR(check_range("hidden", options.hidden_size, 1, 1 << 20));
  HEARTH_RETURN_IF_ERROR(check_range("heads", options.num_heads, 1, 1024));
  HEARTH_RETURN_IF_ERROR(check_range("kv-heads", options.num_kv_heads, 1, options.num_heads));
  HEARTH_RETURN_IF_ERROR(check_range("head-dim", options.head_dim, 2, 1024));
  HEARTH_RETURN_IF_ERROR(check_range("ffn", options.ffn_size, 1, 1 << 22));
  HEARTH_RETURN_IF_ERROR(check_range("context", options.context_length, 1, 1 << 30));
  HEARTH_RETURN_IF_ERROR(check_range("vocab", vocab_size, kMinBuiltinVocab, 1 << 22));
  if (options.num_heads % options.num_kv_heads != 0)
    return bad_option("kv-heads", std::to_string(options.num_kv_heads),
                      "a divisor of heads, " + std::to_string(options.num_heads));
  if (options.head_dim % 2 != 0)
    return bad_option("head-dim", std::to_string(options.head_dim), "an even number");
  const int64_t block = dtype_info(type->dtype).block_size;
  const auto check_row = [&](std::string_view option, int64_t cols) -> Status {
    if (cols % block == 0) return {};
    return bad_option(option, std::to_string(cols),
                      "a multiple of " + std::to_string(block) + ", the block size of " +
                          std::string(type->name));
  };
  HEARTH_RETURN_IF_ERROR(check_row("hidden", options.hidden_size));
  HEARTH_RETURN_IF_ERROR(
      check_row("heads times head-dim", int64_t{options.num_heads} * options.head_dim));
  return check_row("ffn", options.ffn_size);
}

}  // namespace hearth
