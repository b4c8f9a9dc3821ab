// Qwen3 dense (Yang et al. 2025): Qwen2 without biases, with RMSNorm on each head of Q and K.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_qwen3();

static Result<ModelConfig> read_qwen3(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  c.qk_norm = QkNorm::kHead;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_qwen3() { return {"qwen3", read_qwen3}; }

}  // namespace hearth
