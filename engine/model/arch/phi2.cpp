// Phi-1.5 and Phi-2 (Li et al. 2023): LayerNorm, attention and feed-forward block side by side
// after one norm, RoPE on a part of each head, GELU by tanh, biases even on the logits.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_phi2();

static Result<ModelConfig> read_phi2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  c.norms.ffn = c.norms.attention;
  c.parallel_residual = true;
  c.activation = kernels::Activation::kGeluTanh;
  c.gated = false;
  c.output_matrix = Presence::kRequired;
  c.output_bias = Presence::kRequired;
  c.qkv_bias = c.attention_out_bias = c.ffn_bias = Presence::kRequired;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_phi2() { return {"phi2", read_phi2}; }

}  // namespace hearth
