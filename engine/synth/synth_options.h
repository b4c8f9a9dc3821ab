#pragma once
// How options become a plan: architecture and type traits, checked.

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "engine/synth/synthetic_model.h"
#include "kernels/dtype.h"

namespace hearth {

/// What sets an architecture's files apart.
struct SynthArch {
  std::string_view name;  // as in SynthOptions::arch
  std::string_view key;   // general.architecture and the prefix of its keys
  std::string_view pre_tokenizer;
  bool grouped_queries;  // presets have fewer KV heads than heads
  bool qkv_bias;
  bool qk_norm;
  bool rope_freqs;
  float rope_theta;
  float rms_norm_eps;
};

/// The types of a file's matrices.
struct SynthType {
  std::string_view name;
  DType dtype;         // of most matrices
  bool mixed;          // attn_v and ffn_down q6_k in half of the layers
  uint32_t file_type;  // general.file_type
};

/// The rows of the tables; kInvalidArgument with the choices if there is none.
Result<const SynthArch*> find_synth_arch(std::string_view name);
Result<const SynthType*> find_synth_type(std::string_view name);

/// Ranges, divisibility, and rows of whole blocks. `vocab_size` is the vocabulary in effect.
Status check_synth_options(const SynthOptions& options, int64_t vocab_size);

}  // namespace hearth
