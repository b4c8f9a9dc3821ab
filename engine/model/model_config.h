#pragma once
// What a model is, as numbers and choices: the description that one forward pass runs for every
// architecture. Made from a file's metadata by engine/model/arch.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kernel_table.h"

namespace hearth {

/// Rotary position embedding, reduced to what the kernels need: one inverse frequency per pair and
/// a magnitude. Scaling methods (linear, YaRN, longrope, llama3's factors) are worked into the
/// frequencies.
struct RopeConfig {
  kernels::RopeStyle style = kernels::RopeStyle::kInterleaved;
  int32_t rotary_dim = 0;                 // values of a head that are rotated; even
  std::vector<double> inverse_frequency;  // [rotary_dim / 2]
  float magnitude = 1.0F;                 // YaRN's or longrope's attention factor; else 1
  /// longrope: instead of the above where a context has more than `original_context` tokens.
  std::vector<double> long_inverse_frequency;  // [rotary_dim / 2] or empty
  int32_t original_context = 0;
};

/// Whether files of an architecture have a part. What is required and missing is an error.
enum class Presence { kAbsent, kOptional, kRequired };

enum class NormKind {
  kRms,    // RMSNorm: weights alone
  kLayer,  // LayerNorm, with a bias as NormConfig::bias says
};

struct NormConfig {
  NormKind kind = NormKind::kRms;
  float eps = 0.0F;
  Presence bias = Presence::kAbsent;
};

/// Norms of Q and K, before they are rotated unless noted.
enum class QkNorm {
  kNone,
  kHead,      // each head by itself, all with the same weights
  kEachHead,  // each head by itself with weights of its own
  kAll,       // all heads together
  kRotated,   // each head by itself without weights, after it was rotated; RMSNorm
};

/// A mixture of experts in place of the feed-forward block.
struct ExpertConfig {
  int32_t count = 0;     // 0: no experts
  int32_t used = 0;      // by each token
  int32_t ffn_size = 0;  // of one expert
  kernels::Router router = kernels::Router::kSoftmaxChosen;
  float scale = 1.0F;                 // of the router's weights
  bool weigh_input = false;           // the weights multiply what goes in, not what comes out
  Presence bias = Presence::kAbsent;  // of the router and the experts
  int32_t shared_ffn_size = 0;        // of a block that every token takes besides; 0: none
};

/// Tensors whose names say little about what they do: blk.N.NAME.weight. Empty: there is none.
struct NormNames {
  std::string_view attention = "attn_norm";
  std::string_view post_attention = "";
  std::string_view ffn = "ffn_norm";
  std::string_view post_ffn = "";
};

/// Layers that rotate nothing.
inline constexpr int32_t kNoRope = -1;

/// What may differ from layer to layer.
struct LayerConfig {
  int32_t window = 0;  // 0: none; else a token at i sees j when i - j < window
  int32_t chunk = 0;   // 0: none; else a token at i sees j when i / chunk == j / chunk
  int32_t rope = 0;    // an index of ModelConfig::ropes, or kNoRope
  bool dense = false;  // no experts, though others have them
};

/// Scores of layers that rotate nothing, in long contexts: q at position i is multiplied by
/// 1 + scale * log(1 + floor((i + 1) / length)).
struct TemperatureConfig {
  int32_t length = 0;  // 0: none
  float scale = 0.0F;
};

struct ModelConfig {
  std::string architecture;  // general.architecture: "llama"
  std::string name;          // general.name, may be empty
  int32_t num_layers = 0;
  int32_t hidden_size = 0;
  int32_t ffn_size = 0;
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;  // divides num_heads (GQA, Ainslie et al. 2023)
  int32_t head_dim = 0;
  int32_t vocab_size = 0;         // rows of the token embedding
  int32_t context_length = 0;     // tokens the model was trained for
  int32_t learned_positions = 0;  // rows of position_embd: no context can be longer; 0: none

  std::vector<LayerConfig> layers;  // [num_layers]
  std::vector<RopeConfig> ropes;
  NormConfig norm;
  NormNames norms;
  QkNorm qk_norm = QkNorm::kNone;
  kernels::Activation activation = kernels::Activation::kSilu;
  bool gated = true;               // the activation of one matrix times another one
  bool parallel_residual = false;  // attention and feed-forward block read the same stream
  bool sinks = false;              // a learned score per head that joins its softmax
  ExpertConfig experts;

  float embedding_scale = 1.0F;
  float attention_scale = 0.0F;    // of q·k
  float attention_softcap = 0.0F;  // 0: none
  TemperatureConfig temperature;
  float residual_scale = 1.0F;  // of what a block adds to the stream
  float logit_scale = 1.0F;
  float logit_softcap = 0.0F;  // 0: none

  // How matrices are stored.
  bool fused_qkv = false;      // attn_qkv = [q; k; v]; files may have either form
  bool fused_gate_up = false;  // ffn_up = [gate; up]
  Presence qkv_bias = Presence::kOptional;
  Presence attention_out_bias = Presence::kOptional;
  Presence ffn_bias = Presence::kOptional;
  Presence output_bias = Presence::kAbsent;
  Presence output_matrix = Presence::kOptional;  // without it the token embedding serves

  [[nodiscard]] int32_t q_size() const { return num_heads * head_dim; }
  [[nodiscard]] int32_t kv_size() const { return num_kv_heads * head_dim; }
};

}  // namespace hearth
