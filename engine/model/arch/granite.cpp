// Granite 3 (IBM 2024): Llama with factors on embedding, scores, residuals and logits.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_granite();

static Result<ModelConfig> read_granite(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  const KeyReader keys(file, c.architecture);
  HEARTH_ASSIGN_OR_RETURN(c.attention_scale,
                          keys.positive_or("attention.scale", c.attention_scale));
  HEARTH_ASSIGN_OR_RETURN(c.embedding_scale, keys.positive_or("embedding_scale", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(c.residual_scale, keys.positive_or("residual_scale", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(const float divisor, keys.positive_or("logit_scale", 1.0F));
  c.logit_scale = 1.0F / divisor;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_granite() { return {"granite", read_granite}; }

}  // namespace hearth
