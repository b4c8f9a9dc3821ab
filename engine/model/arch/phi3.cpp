// Phi-3 and Phi-4 (Abdin et al. 2024): Llama with fused matrices, and RoPE on halves, for long
// contexts with longrope.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_phi3();

static Result<ModelConfig> read_phi3(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  c.fused_qkv = true;
  c.fused_gate_up = true;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_phi3() { return {"phi3", read_phi3}; }

}  // namespace hearth
