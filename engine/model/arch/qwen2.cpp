// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on Q, K and V, and RoPE on halves.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_qwen2();

static Result<ModelConfig> read_qwen2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  c.qkv_bias = Presence::kRequired;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_qwen2() { return {"qwen2", read_qwen2}; }

}  // namespace hearth
