// Llama 1, 2 and 3 (Touvron et al. 2023; Grattafiori et al. 2024), Mistral and their kin: RMSNorm,
// SwiGLU, RoPE on interleaved pairs (the files' Q and K rows are permuted for it), GQA.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"

namespace hearth {

Architecture architecture_llama();

static Result<ModelConfig> read_llama(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig config, read_common_config(file));
  HEARTH_ASSIGN_OR_RETURN(config.rope, read_rope(file, config, kernels::RopeStyle::kInterleaved));
  return config;
}

Architecture architecture_llama() { return {"llama", read_llama}; }

}  // namespace hearth
