#include "engine/synth/synthetic_model.h"

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
  void add_layer(int32_t layer);
  void add_rope_freqs();
  void add_matrix(const std::string& name, DType dtype, int64_t cols, int64_t rows, double std_dev);
  void add_vector(const std::string& name, int64_t size, float mean, float std_dev);
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
  u32("rope.dimension_count", options_.head_dim);
  writer_.add_f32(key("rope.freq_base"), arch_.rope_theta);
  writer_.add_f32(key("attention.layer_norm_rms_epsilon"), arch_.rms_norm_eps);
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
                                  double std_dev) {
  auto& source = sources_[{dtype, std_dev}];
  if (!source)
    source = std::make_shared<RandomWeights>(dtype, std_dev, derive_seed(options_.seed, "pool"));
  const int64_t dims[] = {cols, rows};
  writer_.add_tensor(name + ".weight", dtype, dims,
                     source->rows(derive_seed(options_.seed, name), cols, cols * rows));
}

void ModelSynthesizer::add_vector(const std::string& name, int64_t size, float mean,
                                  float std_dev) {
  const int64_t dims[] = {size};
  writer_.add_tensor(name, DType::kF32, dims,
                     [=, seed = derive_seed(options_.seed, name)](int64_t /*first_row*/,
                                                                  std::span<std::byte> out) {
                       SplitMix64 random(seed);
                       for (size_t at = 0; at < out.size(); at += sizeof(float)) {
                         const float value = mean + std_dev * random.normal();
                         std::memcpy(out.data() + at, &value, sizeof(value));
                       }
                     });
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
  const double output_std_dev = kLogitStdDev / std::sqrt(static_cast<double>(hidden));
  const bool tied = options_.tied_embeddings;
  add_matrix("token_embd", tied ? output_type() : type_.dtype, hidden, vocab_size,
             tied ? output_std_dev : 1.0);
  if (arch_.rope_freqs) add_rope_freqs();
  for (int32_t layer = 0; layer < options_.layers; ++layer) add_layer(layer);
  add_vector("output_norm.weight", hidden, 1.0F, 0.05F);
  if (!tied) add_matrix("output", output_type(), hidden, vocab_size, output_std_dev);
}

void ModelSynthesizer::add_layer(int32_t layer) {
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  const int64_t hidden = options_.hidden_size;
  const int64_t ffn = options_.ffn_size;
  const int64_t q_size = int64_t{options_.num_heads} * options_.head_dim;
  const int64_t kv_size = int64_t{options_.num_kv_heads} * options_.head_dim;
  const DType dtype = type_.dtype;
  const DType high = type_.mixed && layer % 2 == 0 ? DType::kQ6_K : dtype;
  const auto unit = [](int64_t cols) { return 1.0 / std::sqrt(static_cast<double>(cols)); };
  // With tied embeddings a token's own row stays in the residual stream and votes for itself; what
  // layers write is made larger, so that they outvote it.
  const double residual = options_.tied_embeddings ? 2.0 : 1.0;

  add_vector(prefix + "attn_norm.weight", hidden, 1.0F, 0.05F);
  add_matrix(prefix + "attn_q", dtype, hidden, q_size, unit(hidden));
  add_matrix(prefix + "attn_k", dtype, hidden, kv_size, unit(hidden));
  add_matrix(prefix + "attn_v", high, hidden, kv_size, unit(hidden));
  if (arch_.qkv_bias) {
    add_vector(prefix + "attn_q.bias", q_size, 0.0F, 0.3F);
    add_vector(prefix + "attn_k.bias", kv_size, 0.0F, 0.3F);
    add_vector(prefix + "attn_v.bias", kv_size, 0.0F, 0.3F);
  }
  if (arch_.qk_norm) {
    add_vector(prefix + "attn_q_norm.weight", options_.head_dim, 1.0F, 0.05F);
    add_vector(prefix + "attn_k_norm.weight", options_.head_dim, 1.0F, 0.05F);
  }
  add_matrix(prefix + "attn_output", dtype, q_size, hidden, residual * unit(q_size));
  add_vector(prefix + "ffn_norm.weight", hidden, 1.0F, 0.05F);
  add_matrix(prefix + "ffn_gate", dtype, hidden, ffn, unit(hidden));
  add_matrix(prefix + "ffn_up", dtype, hidden, ffn, unit(hidden));
  add_matrix(prefix + "ffn_down", high, ffn, hidden, residual * unit(ffn));
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
  const int64_t dims[] = {static_cast<int64_t>(divisors.size())};
  writer_.add_tensor("rope_freqs.weight", DType::kF32, dims,
                     [divisors](int64_t /*first_row*/, std::span<std::byte> out) {
                       std::memcpy(out.data(), divisors.data(), out.size());
                     });
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
