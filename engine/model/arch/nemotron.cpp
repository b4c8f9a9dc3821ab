// Nemotron and Minitron (Parmar et al. 2024): LayerNorm (the file's weights include their 1), RoPE
// on a part of each head, the square of ReLU.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_nemotron();

static Result<ModelConfig> read_nemotron(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  c.activation = kernels::Activation::kReluSquared;
  c.gated = false;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_nemotron() { return {"nemotron", read_nemotron}; }

}  // namespace hearth
