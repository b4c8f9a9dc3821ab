// AFM (Arcee 2025): Llama with the square of ReLU instead of SwiGLU.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_arcee();

static Result<ModelConfig> read_arcee(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  c.activation = kernels::Activation::kReluSquared;
  c.gated = false;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_arcee() { return {"arcee", read_arcee}; }

}  // namespace hearth
