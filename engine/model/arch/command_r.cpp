// Command R and R+ (Cohere 2024): LayerNorm without biases, attention and feed-forward block side
// by side after one norm, scaled logits. R+ norms each head of Q and K with weights of its own.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_command_r();

static Result<ModelConfig> read_command_r(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  const KeyReader keys(file, c.architecture);
  c.norm.bias = Presence::kAbsent;
  c.norms.ffn = c.norms.attention;
  c.parallel_residual = true;
  HEARTH_ASSIGN_OR_RETURN(c.logit_scale, keys.positive("logit_scale"));
  if (has_layer_tensor(file, c, "attn_q_norm.weight")) c.qk_norm = QkNorm::kEachHead;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_command_r() { return {"command-r", read_command_r}; }

}  // namespace hearth
