// Gemma (Gemma Team 2024): Llama with a scaled embedding, GELU, and RoPE on halves. The norms'
// weights in the file include their 1.
#include <cmath>

#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_gemma();

static Result<ModelConfig> read_gemma(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.activation = kernels::Activation::kGeluTanh;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_gemma() { return {"gemma", read_gemma}; }

}  // namespace hearth
