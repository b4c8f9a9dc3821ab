#pragma once
// The shapes of architectures as `hearth synth` writes them: keys and tensors, no more than a file
// needs to be that architecture.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace hearth {

enum class SynthNorm { kRms, kLayer, kLayerWithoutBias };
enum class SynthBiases { kNone, kQkv, kAttention, kAll };
enum class SynthQkNorm { kNone, kHead, kEachHead, kAll };

/// A key below the architecture's prefix with a number; integers are those that `whole` says.
struct SynthKey {
  std::string_view suffix;
  float value;
  bool whole = false;
};

/// What sets an architecture's files apart from Llama's.
struct SynthArch {
  std::string_view name;  // as in SynthOptions::arch
  std::string_view key;   // general.architecture and the prefix of its keys
  std::string_view pre_tokenizer = "gpt-2";
  bool grouped_queries = true;  // presets have fewer KV heads than heads
  bool one_kv_head = false;     // presets have one
  SynthNorm norm = SynthNorm::kRms;
  float norm_eps = 1e-5F;
  /// Names of the layers' norms, those on Q and K apart.
  std::array<std::string_view, 4> norms = {"attn_norm", "ffn_norm"};
  SynthQkNorm qk_norm = SynthQkNorm::kNone;
  SynthBiases biases = SynthBiases::kNone;
  bool output_bias = false;
  bool fused_qkv = false;
  bool fused_gate_up = false;
  bool gated = true;
  bool sinks = false;
  bool learned_positions = false;  // instead of RoPE
  float rope_theta = 10000.0F;
  int32_t rope_share = 1;  // one of so many values of a head is rotated
  bool rope_freqs = false;
  bool longrope = false;  // from 128 tokens on
  int32_t experts = 0;    // each of SynthOptions::ffn_size
  int32_t experts_used = 0;
  int32_t experts_step = 1;    // of so many layers, the last one has experts
  bool shared_expert = false;  // a dense block beside them
  std::array<SynthKey, 4> keys = {};
};

/// All of them, in the order of help texts.
std::span<const SynthArch> synth_arch_table();

}  // namespace hearth
