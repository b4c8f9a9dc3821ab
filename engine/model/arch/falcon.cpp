// Falcon (Almazrouei et al. 2023): LayerNorm, attention and feed-forward block side by side, GELU,
// one or a few KV heads. The 40B variant has a norm for each of the two blocks.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_falcon();

static Result<ModelConfig> read_falcon(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  const bool two_norms = has_layer_tensor(file, c, "attn_norm_2.weight");
  c.norms.attention = two_norms ? "attn_norm_2" : "attn_norm";
  c.norms.ffn = "attn_norm";
  c.parallel_residual = true;
  c.activation = kernels::Activation::kGelu;
  c.gated = false;
  c.fused_qkv = true;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_falcon() { return {"falcon", read_falcon}; }

}  // namespace hearth
