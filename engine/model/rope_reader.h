#pragma once
// RoPE of a model from "<architecture>.rope.*" and the tensors of frequency factors.

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "engine/model/model_config.h"

namespace hearth {

/// How YaRN bounds the dimensions between which it ramps; the paper's are fractions.
enum class YarnRange { kWhole, kFraction };

/// RoPE of `config`: base frequency, dimension count, and the scaling that the file names: none,
/// linear, yarn (Peng et al. 2023), longrope (Ding et al. 2024; rope_factors_long and _short), or
/// llama3's factors (rope_freqs). Errors are kMalformed and name the key or tensor.
Result<RopeConfig> read_rope(const ModelFile& file, const ModelConfig& config,
                             kernels::RopeStyle style, YarnRange range = YarnRange::kWhole);

/// The same without any scaling, with the base frequency of `key` (below "<architecture>.") or
/// `fallback`: layers with a window do not reach beyond the context they were trained for.
Result<RopeConfig> read_local_rope(const ModelFile& file, const ModelConfig& config,
                                   kernels::RopeStyle style, const char* key, float fallback);

}  // namespace hearth
