// Qwen3 with experts (Yang et al. 2025): the weights of the chosen ones add up to 1.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_qwen3moe();

static Result<ModelConfig> read_qwen3moe(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c,
                          read_common_config(file, NormKind::kRms, Experts::kRequired));
  c.qk_norm = QkNorm::kHead;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_qwen3moe() { return {"qwen3moe", read_qwen3moe}; }

}  // namespace hearth
