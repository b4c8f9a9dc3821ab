#pragma once
// What a model is, as numbers and choices: the description that one forward pass runs for every
// architecture. Made from a file's metadata by engine/model/arch.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"

namespace hearth {

/// Rotary position embedding, reduced to what the kernels need: one inverse frequency per pair and
/// a magnitude. Scaling methods (linear, YaRN, llama3's factors) are worked into the frequencies.
struct RopeConfig {
  kernels::RopeStyle style = kernels::RopeStyle::kInterleaved;
  int32_t rotary_dim = 0;                 // values of a head that are rotated; even
  std::vector<double> inverse_frequency;  // [rotary_dim / 2]
  float magnitude = 1.0F;                 // YaRN's attention factor; else 1
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
  int32_t vocab_size = 0;      // rows of the token embedding
  int32_t context_length = 0;  // tokens the model was trained for
  float rms_norm_eps = 0.0F;
  int32_t sliding_window = 0;  // 0: none; else a token at i sees j when i - j < window
  bool qk_norm = false;        // RMSNorm over each head of Q and K before RoPE
  RopeConfig rope;

  [[nodiscard]] int32_t q_size() const { return num_heads * head_dim; }
  [[nodiscard]] int32_t kv_size() const { return num_kv_heads * head_dim; }
};

}  // namespace hearth
