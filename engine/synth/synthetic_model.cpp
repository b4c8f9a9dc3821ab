#include "engine/synth/synthetic_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <numbers>
#include <utility>

#include "engine/gguf/model_file.h"
#include "engine/gguf/quote.h"
#include "engine/synth/builtin_vocab.h"
#include "engine/synth/gguf_writer.h"
#include "engine/synth/random_weights.h"
#include "engine/synth/synth_options.h"

namespace hearth {
namespace {

// Rows of the output matrix have this norm; the state before it is normalized to RMS 1, so logits
// have this standard deviation: some tokens clearly likelier, none certain.
constexpr double kLogitStdDev = 3.0;
// Up to here models with longrope take the short factors.
constexpr uint32_t kLongropeContext = 128;

/// What keeps the variance of a row of `cols` values of variance 1.
double unit(int64_t cols) { return 1.0 / std::sqrt(static_cast<double>(cols)); }

/// Plans one model into a GgufWriter.
class ModelSynthesizer {
 public:
  ModelSynthesizer(const SynthOptions& options, const SynthArch& arch, const SynthType& type)
      : options_(options), arch_(arch), type_(type) {}

  void add_hyperparameters();
  void add_tokenizer(const BuiltinVocab& vocab);
  Status copy_tokenizer(const Metadata& source);
  void add_tensors(int64_t vocab_size);

  [[nodiscard]] const GgufWriter& writer() const { return writer_; }

 private:
  void add_arch_keys();
  void add_layer(int32_t layer);
  void add_attention(const std::string& prefix, DType value_type, double residual);
  void add_qk_norms(const std::string& prefix);
  /// Matrices PREFIX ffn_… SUFFIX.
  void add_ffn(const std::string& prefix, const std::string& suffix, DType down_type,
               double residual);
  void add_experts(const std::string& prefix, DType down_type, double residual);
  void add_rope_freqs();
  void add_longrope();
  /// NAME.weight [rows, cols], or with `count` [count, rows, cols].
  void add_matrix(const std::string& name, DType dtype, int64_t cols, int64_t rows, double std_dev,
                  int64_t count = 0);
  void add_vector(const std::string& name, int64_t size, float mean, float std_dev,
                  int64_t count = 0);
  void add_values(const std::string& name, const std::vector<float>& values);
  void add_norm(const std::string& name, int64_t size, int64_t count = 0);
  void add_bias(const std::string& name, int64_t size, SynthBiases from, int64_t count = 0);
  [[nodiscard]] DType output_type() const;
  [[nodiscard]] std::string key(std::string_view suffix) const {
    return std::string(arch_.key) + "." + std::string(suffix);
  }

  const SynthOptions& options_;
  const SynthArch& arch_;
  const SynthType& type_;
  GgufWriter writer_;
  // Matrices of one type and scale draw from one pool.
  std::map<std::pair<DType, double>, std::shared_ptr<RandomWeights>> sources_;
};

void ModelSynthesizer::add_hyperparameters() {
  const auto u32 = [this](std::string_view suffix, int32_t value) {
    writer_.add_u32(key(suffix), static_cast<uint32_t>(value));
  };
  writer_.add_string("general.architecture", arch_.key);
  writer_.add_string("general.type", "model");
  writer_.add_string("general.name", options_.name.empty()
                                         ? "synth-" + options_.arch + "-" + options_.type
                                         : options_.name);
  writer_.add_u32("general.file_type", type_.file_type);
  writer_.add_u32("general.quantization_version", 2);
  u32("block_count", options_.layers);
  u32("context_length", options_.context_length);
  u32("embedding_length", options_.hidden_size);
  u32("feed_forward_length", options_.ffn_size);
  u32("attention.head_count", options_.num_heads);
  u32("attention.head_count_kv", options_.num_kv_heads);
  u32("attention.key_length", options_.head_dim);
  u32("attention.value_length", options_.head_dim);
  if (!arch_.learned_positions) {
    u32("rope.dimension_count", options_.head_dim / arch_.rope_share);
    writer_.add_f32(key("rope.freq_base"), arch_.rope_theta);
  }
  writer_.add_f32(key(arch_.norm == SynthNorm::kRms ? "attention.layer_norm_rms_epsilon"
                                                    : "attention.layer_norm_epsilon"),
                  arch_.norm_eps);
  add_arch_keys();
}

void ModelSynthesizer::add_arch_keys() {
  if (arch_.experts > 0) {
    writer_.add_u32(key("expert_count"), static_cast<uint32_t>(arch_.experts));
    writer_.add_u32(key("expert_used_count"), static_cast<uint32_t>(arch_.experts_used));
    writer_.add_u32(key("expert_feed_forward_length"), static_cast<uint32_t>(options_.ffn_size));
    if (arch_.shared_expert)
      writer_.add_u32(key("expert_shared_feed_forward_length"),
                      static_cast<uint32_t>(options_.ffn_size));
  }
  if (arch_.longrope)
    writer_.add_u32(key("rope.scaling.original_context_length"), kLongropeContext);
  for (const SynthKey& entry : arch_.keys) {
    if (entry.suffix.empty()) continue;
    if (entry.whole)
      writer_.add_u32(key(entry.suffix), static_cast<uint32_t>(entry.value));
    else
      writer_.add_f32(key(entry.suffix), entry.value);
  }
}

void ModelSynthesizer::add_tokenizer(const BuiltinVocab& vocab) {
  writer_.add_u32(key("vocab_size"), static_cast<uint32_t>(vocab.tokens.size()));
  writer_.add_string("tokenizer.ggml.model", "gpt2");
  writer_.add_string("tokenizer.ggml.pre", arch_.pre_tokenizer);
  writer_.add_strings("tokenizer.ggml.tokens", vocab.tokens);
  writer_.add_i32s("tokenizer.ggml.token_type", vocab.token_types);
  writer_.add_strings("tokenizer.ggml.merges", vocab.merges);
  writer_.add_u32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(vocab.end_of_text));
  writer_.add_u32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(vocab.im_end));
  writer_.add_u32("tokenizer.ggml.padding_token_id", static_cast<uint32_t>(vocab.end_of_text));
  writer_.add_bool("tokenizer.ggml.add_bos_token", false);
  writer_.add_string("tokenizer.chat_template", kChatMlTemplate);
}

/// All tokenizer.* keys, in one order whatever the source's table is like.
Status ModelSynthesizer::copy_tokenizer(const Metadata& source) {
  HEARTH_ASSIGN_OR_RETURN(const auto tokens, source.strings("tokenizer.ggml.tokens"));
  writer_.add_u32(key("vocab_size"), static_cast<uint32_t>(tokens.size()));
  std::map<std::string_view, const MetaValue*> sorted;
  for (const auto& [name, value] : source.entries())
    if (name.starts_with("tokenizer.")) sorted.emplace(name, &value);
  for (const auto& [name, value] : sorted) writer_.add_value(name, *value);
  return {};
}

void ModelSynthesizer::add_matrix(const std::string& name, DType dtype, int64_t cols, int64_t rows,
                                  double std_dev, int64_t count) {
  auto& source = sources_[{dtype, std_dev}];
  if (!source)
    source = std::make_shared<RandomWeights>(dtype, std_dev, derive_seed(options_.seed, "pool"));
  const int64_t dims[] = {cols, rows, count};
  const int64_t elements = cols * rows * std::max<int64_t>(count, 1);
  writer_.add_tensor(name + ".weight", dtype, std::span(dims).first(count > 0 ? 3 : 2),
                     source->rows(derive_seed(options_.seed, name), cols, elements));
}

void ModelSynthesizer::add_vector(const std::string& name, int64_t size, float mean, float std_dev,
                                  int64_t count) {
  const int64_t dims[] = {size, count};
  writer_.add_tensor(
      name, DType::kF32, std::span(dims).first(count > 0 ? 2 : 1),
      [=, seed = derive_seed(options_.seed, name)](int64_t first_row, std::span<std::byte> out) {
        SplitMix64 random(seed + static_cast<uint64_t>(first_row));
        for (size_t at = 0; at < out.size(); at += sizeof(float)) {
          const float value = mean + std_dev * random.normal();
          std::memcpy(out.data() + at, &value, sizeof(value));
        }
      });
}

void ModelSynthesizer::add_values(const std::string& name, const std::vector<float>& values) {
  const int64_t dims[] = {static_cast<int64_t>(values.size())};
  writer_.add_tensor(name, DType::kF32, dims,
                     [values](int64_t /*first_row*/, std::span<std::byte> out) {
                       std::memcpy(out.data(), values.data(), out.size());
                     });
}

void ModelSynthesizer::add_norm(const std::string& name, int64_t size, int64_t count) {
  add_vector(name + ".weight", size, 1.0F, 0.05F, count);
  if (arch_.norm == SynthNorm::kLayer) add_vector(name + ".bias", size, 0.0F, 0.05F, count);
}

/// A bias of architectures whose biases go as far as `from`.
void ModelSynthesizer::add_bias(const std::string& name, int64_t size, SynthBiases from,
                                int64_t count) {
  if (arch_.biases >= from) add_vector(name + ".bias", size, 0.0F, 0.3F, count);
}

/// Files that people use keep the output matrix at six bits where the rest has fewer.
DType ModelSynthesizer::output_type() const {
  const DTypeInfo& info = dtype_info(type_.dtype);
  const DTypeInfo& six_bits = dtype_info(DType::kQ6_K);
  const double bits = 8.0 * info.block_bytes / info.block_size;
  const double output_bits = 8.0 * six_bits.block_bytes / six_bits.block_size;
  const bool fits = options_.hidden_size % six_bits.block_size == 0;
  return fits && bits < output_bits ? DType::kQ6_K : type_.dtype;
}

void ModelSynthesizer::add_tensors(int64_t vocab_size) {
  const int64_t hidden = options_.hidden_size;
  const double output_std_dev = kLogitStdDev * unit(hidden);
  const bool tied = options_.tied_embeddings;
  add_matrix("token_embd", tied ? output_type() : type_.dtype, hidden, vocab_size,
             tied ? output_std_dev : 1.0);
  if (arch_.learned_positions)
    add_matrix("position_embd", DType::kF32, hidden, options_.context_length, 0.5);
  if (arch_.rope_freqs) add_rope_freqs();
  if (arch_.longrope) add_longrope();
  for (int32_t layer = 0; layer < options_.layers; ++layer) add_layer(layer);
  add_norm("output_norm", hidden);
  if (!tied) add_matrix("output", output_type(), hidden, vocab_size, output_std_dev);
  if (!tied && arch_.output_bias) add_vector("output.bias", vocab_size, 0.0F, 0.3F);
}

void ModelSynthesizer::add_layer(int32_t layer) {
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  const DType high = type_.mixed && layer % 2 == 0 ? DType::kQ6_K : type_.dtype;
  // With tied embeddings a token's own row stays in the residual stream and votes for itself; what
  // layers write is made larger, so that they outvote it.
  const double residual = options_.tied_embeddings ? 2.0 : 1.0;
  for (const std::string_view norm : arch_.norms)
    if (!norm.empty()) add_norm(prefix + std::string(norm), options_.hidden_size);
  add_attention(prefix, high, residual);
  const bool has_experts = arch_.experts > 0 && (layer + 1) % arch_.experts_step == 0;
  if (has_experts) add_experts(prefix, high, residual);
  if (!has_experts) add_ffn(prefix, "", high, residual);
  if (has_experts && arch_.shared_expert) add_ffn(prefix, "_shexp", high, residual);
}

void ModelSynthesizer::add_attention(const std::string& prefix, DType value_type, double residual) {
  const int64_t hidden = options_.hidden_size;
  const int64_t q_size = int64_t{options_.num_heads} * options_.head_dim;
  const int64_t kv_size = int64_t{options_.num_kv_heads} * options_.head_dim;
  if (arch_.fused_qkv) {
    add_matrix(prefix + "attn_qkv", type_.dtype, hidden, q_size + 2 * kv_size, unit(hidden));
    add_bias(prefix + "attn_qkv", q_size + 2 * kv_size, SynthBiases::kQkv);
  } else {
    add_matrix(prefix + "attn_q", type_.dtype, hidden, q_size, unit(hidden));
    add_matrix(prefix + "attn_k", type_.dtype, hidden, kv_size, unit(hidden));
    add_matrix(prefix + "attn_v", value_type, hidden, kv_size, unit(hidden));
    add_bias(prefix + "attn_q", q_size, SynthBiases::kQkv);
    add_bias(prefix + "attn_k", kv_size, SynthBiases::kQkv);
    add_bias(prefix + "attn_v", kv_size, SynthBiases::kQkv);
  }
  add_qk_norms(prefix);
  if (arch_.sinks) add_vector(prefix + "attn_sinks.weight", options_.num_heads, 0.0F, 1.0F);
  add_matrix(prefix + "attn_output", type_.dtype, q_size, hidden, residual * unit(q_size));
  add_bias(prefix + "attn_output", hidden, SynthBiases::kAttention);
}

void ModelSynthesizer::add_qk_norms(const std::string& prefix) {
  if (arch_.qk_norm == SynthQkNorm::kNone) return;
  const auto add = [&](const char* name, int64_t heads) {
    if (arch_.qk_norm == SynthQkNorm::kAll)
      add_norm(prefix + name, heads * options_.head_dim);
    else
      add_norm(prefix + name, options_.head_dim,
               arch_.qk_norm == SynthQkNorm::kEachHead ? heads : 0);
  };
  add("attn_q_norm", options_.num_heads);
  add("attn_k_norm", options_.num_kv_heads);
}

void ModelSynthesizer::add_ffn(const std::string& prefix, const std::string& suffix,
                               DType down_type, double residual) {
  const int64_t hidden = options_.hidden_size;
  const int64_t ffn = options_.ffn_size;
  const auto add = [&](const char* name, DType dtype, int64_t cols, int64_t rows, double std_dev) {
    add_matrix(prefix + name + suffix, dtype, cols, rows, std_dev);
    add_bias(prefix + name + suffix, rows, SynthBiases::kAll);
  };
  if (arch_.gated && !arch_.fused_gate_up) add("ffn_gate", type_.dtype, hidden, ffn, unit(hidden));
  add("ffn_up", type_.dtype, hidden, arch_.fused_gate_up ? 2 * ffn : ffn, unit(hidden));
  add("ffn_down", down_type, ffn, hidden, residual * unit(ffn));
}

void ModelSynthesizer::add_experts(const std::string& prefix, DType down_type, double residual) {
  const int64_t hidden = options_.hidden_size;
  const int64_t ffn = options_.ffn_size;
  const int64_t count = arch_.experts;
  add_matrix(prefix + "ffn_gate_inp", DType::kF32, hidden, count, unit(hidden));
  add_bias(prefix + "ffn_gate_inp", count, SynthBiases::kAll);
  const auto add = [&](const char* name, DType dtype, int64_t cols, int64_t rows, double std_dev) {
    add_matrix(prefix + name, dtype, cols, rows, std_dev, count);
    add_bias(prefix + name, rows, SynthBiases::kAll, count);
  };
  add("ffn_gate_exps", type_.dtype, hidden, ffn, unit(hidden));
  add("ffn_up_exps", type_.dtype, hidden, ffn, unit(hidden));
  add("ffn_down_exps", down_type, ffn, hidden, residual * unit(ffn));
}

/// longrope's factors: frequencies are kept for short contexts, and fall for long ones, the low
/// ones more.
void ModelSynthesizer::add_longrope() {
  const int32_t pairs = options_.head_dim / arch_.rope_share / 2;
  std::vector<float> factors(static_cast<size_t>(pairs), 1.0F);
  add_values("rope_factors_short.weight", factors);
  for (int32_t i = 0; i < pairs; ++i)
    factors[static_cast<size_t>(i)] =
        1.0F + 15.0F * static_cast<float>(i) / static_cast<float>(pairs);
  add_values("rope_factors_long.weight", factors);
}

/// Frequency divisors of Llama 3.1: 1 for short wavelengths, `factor` for long ones, smooth
/// between.
void ModelSynthesizer::add_rope_freqs() {
  constexpr double kFactor = 8.0;
  constexpr double kLowFrequencyFactor = 1.0;
  constexpr double kHighFrequencyFactor = 4.0;
  constexpr double kOriginalContext = 8192.0;
  std::vector<float> divisors;
  for (int32_t i = 0; i < options_.head_dim; i += 2) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(arch_.rope_theta, static_cast<double>(i) / options_.head_dim);
    double divisor = 1.0;
    if (wavelength > kOriginalContext / kLowFrequencyFactor) {
      divisor = kFactor;
    } else if (wavelength > kOriginalContext / kHighFrequencyFactor) {
      const double smooth = (kOriginalContext / wavelength - kLowFrequencyFactor) /
                            (kHighFrequencyFactor - kLowFrequencyFactor);
      divisor = 1.0 / ((1.0 - smooth) / kFactor + smooth);
    }
    divisors.push_back(static_cast<float>(divisor));
  }
  add_values("rope_freqs.weight", divisors);
}

}  // namespace

Status write_synthetic_model(const SynthOptions& options, const std::filesystem::path& path) {
  HEARTH_ASSIGN_OR_RETURN(const SynthArch* arch, find_synth_arch(options.arch));
  HEARTH_ASSIGN_OR_RETURN(const SynthType* type, find_synth_type(options.type));
  int64_t vocab_size = options.vocab_size;
  std::unique_ptr<ModelFile> vocab_source;
  if (!options.vocab_file.empty()) {
    HEARTH_ASSIGN_OR_RETURN(vocab_source, ModelFile::open(options.vocab_file));
    HEARTH_ASSIGN_OR_RETURN(const auto tokens,
                            vocab_source->metadata().strings("tokenizer.ggml.tokens"));
    vocab_size = static_cast<int64_t>(tokens.size());
  }
  HEARTH_RETURN_IF_ERROR(check_synth_options(options, vocab_size));
  ModelSynthesizer model(options, *arch, *type);
  model.add_hyperparameters();
  if (vocab_source)
    HEARTH_RETURN_IF_ERROR(model.copy_tokenizer(vocab_source->metadata()));
  else
    model.add_tokenizer(make_builtin_vocab(options.vocab_size));
  model.add_tensors(vocab_size);
  return model.writer().write(path);
}

}  // namespace hearth
