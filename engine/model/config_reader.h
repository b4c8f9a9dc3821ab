#pragma once
// The part of a description that most decoder-only architectures share: "<arch>.block_count" and
// its like, checked against each other.

#include <string>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/model_config.h"

namespace hearth {

/// Sizes, norm epsilon, window and context from the keys "<general.architecture>.*". RoPE comes
/// from read_rope(), whose style the architecture knows.
Result<ModelConfig> read_common_config(const ModelFile& file);

/// RoPE of `config` from "<architecture>.rope.*" and the tensor rope_freqs.weight:
/// base frequency, dimension count, scaling none, linear or yarn (Peng et al. 2023), llama3
/// factors.
Result<RopeConfig> read_rope(const ModelFile& file, const ModelConfig& config,
                             kernels::RopeStyle style);

}  // namespace hearth
