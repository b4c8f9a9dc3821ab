#pragma once
// The part of a description that most decoder-only architectures share: "<arch>.block_count" and
// its like, checked against each other.

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/key_reader.h"
#include "engine/model/model_config.h"

namespace hearth {

/// Whether files of an architecture have experts: "<arch>.expert_count".
enum class Experts { kNone, kOptional, kRequired };

/// Sizes, norm, window (of all layers), experts and context from "<general.architecture>.*"; the
/// rest as Llama has it. RoPE comes from engine/model/rope_reader.h, whose style the architecture
/// knows.
Result<ModelConfig> read_common_config(const ModelFile& file, NormKind norm = NormKind::kRms,
                                       Experts experts = Experts::kNone);

/// Takes the window from the layers that see all: every `period`-th, unless
/// "<arch>.attention.sliding_window_pattern" says otherwise.
Status read_window_pattern(const KeyReader& keys, int32_t period, ModelConfig& config);

/// Whether any layer has the tensor blk.N.NAME: variants of an architecture differ by it. A layer
/// that then lacks it is refused when the tensors are looked up.
bool has_layer_tensor(const ModelFile& file, const ModelConfig& config, std::string_view name);

/// The number of learned positions: the rows of position_embd.
Status read_learned_positions(const ModelFile& file, ModelConfig& config);

/// GPT-2's description, which StarCoder shares but for its number of KV heads: LayerNorm, learned
/// positions, biases everywhere, one matrix before GELU by tanh.
Result<ModelConfig> read_gpt2_config(const ModelFile& file);

}  // namespace hearth
