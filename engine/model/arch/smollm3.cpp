// SmolLM3 (Hugging Face 2025): Llama whose every fourth layer has no positions.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_smollm3();

static Result<ModelConfig> read_smollm3(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  for (size_t i = 3; i < c.layers.size(); i += 4) c.layers[i].rope = kNoRope;
  return c;
}

Architecture architecture_smollm3() { return {"smollm3", read_smollm3}; }

}  // namespace hearth
