// Llama 1, 2 and 3 (Touvron et al. 2023; Grattafiori et al. 2024), Mistral and their kin: RMSNorm,
// SwiGLU, RoPE on interleaved pairs (the files' Q and K rows are permuted for it), GQA. With
// experts, Mixtral (Jiang et al. 2024).
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_llama();

static Result<ModelConfig> read_llama(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c,
                          read_common_config(file, NormKind::kRms, Experts::kOptional));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_llama() { return {"llama", read_llama}; }

}  // namespace hearth
