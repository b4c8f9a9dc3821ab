#pragma once
// Model files with deterministic random weights, for tests and benchmarks: real shapes, types,
// metadata and a usable tokenizer; text that means nothing. The page to read first in engine/synth.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hearth {

/// What to write. One seed and one set of options always give the same bytes.
struct SynthOptions {
  /// A name of engine/synth/synth_archs.cpp: "llama", "llama3" (llama with a rope_freqs tensor),
  /// "mistral" (llama with grouped-query attention by default), "mixtral" (llama with experts), …
  std::string arch = "llama";
  /// A name of kernels/dtype.h ("f32", "q4_0", "iq4_xs", …) for all matrices, or "q4_k_m": attn_v
  /// and ffn_down in q6_k in half of the layers. Where rows allow it, the output matrix of a
  /// type below 6 bits is q6_k, as in files that people use. Vectors are f32.
  std::string type = "q4_0";
  int32_t layers = 2;
  int32_t hidden_size = 64;
  int32_t num_heads = 4;
  int32_t num_kv_heads = 2;  // divides num_heads
  int32_t head_dim = 16;     // even
  int32_t ffn_size = 192;
  int32_t vocab_size = 512;      // at least 259; ignored with vocab_file
  int32_t context_length = 512;  // in the metadata
  bool tied_embeddings = false;  // no output.weight
  uint64_t seed = 1;
  std::string name;                  // general.name; empty: made from arch and type
  std::filesystem::path vocab_file;  // GGUF to take all tokenizer.* metadata from; empty: built-in
};

/// Shapes by name for an architecture and type: "tiny" (under 2 MB; hidden 64, or 256 where the
/// type's blocks need it), "120m", "1.1b" (TinyLlama), "7b" (Llama 2 7B). kInvalidArgument names
/// the option and the choices.
Result<SynthOptions> synth_preset(std::string_view preset, std::string_view arch,
                                  std::string_view type);

/// Names for help texts.
std::vector<std::string> synth_architectures();
std::vector<std::string> synth_types();
std::vector<std::string> synth_presets();

/// Writes the model at about the speed of the disk. Logits have a standard deviation of about 3.
/// Errors: kInvalidArgument (option, value, expectation; `param` names the option), kIo.
Status write_synthetic_model(const SynthOptions& options, const std::filesystem::path& path);

}  // namespace hearth
