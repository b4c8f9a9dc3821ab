// Qwen3 dense (Yang et al. 2025): Qwen2 without biases, with RMSNorm on each head of Q and K.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"

namespace hearth {

Architecture architecture_qwen3();

static Result<ModelConfig> read_qwen3(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig config, read_common_config(file));
  config.qk_norm = true;
  HEARTH_ASSIGN_OR_RETURN(config.rope, read_rope(file, config, kernels::RopeStyle::kHalves));
  return config;
}

Architecture architecture_qwen3() { return {"qwen3", read_qwen3}; }

}  // namespace hearth
