// GPT-NeoX and Pythia (Black et al. 2022): LayerNorm, attention and feed-forward block side by side
// with a norm each, RoPE on a part of each head, GELU.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_gptneox();

static Result<ModelConfig> read_gptneox(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  const KeyReader keys(file, c.architecture);
  HEARTH_ASSIGN_OR_RETURN(c.parallel_residual, keys.flag_or("use_parallel_residual", true));
  c.activation = kernels::Activation::kGelu;
  c.gated = false;
  c.fused_qkv = true;
  c.output_matrix = Presence::kRequired;
  c.qkv_bias = c.attention_out_bias = c.ffn_bias = Presence::kRequired;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_gptneox() { return {"gptneox", read_gptneox}; }

}  // namespace hearth
