// StarCoder2 (Lozhkov et al. 2024): LayerNorm, biases everywhere, RoPE, GELU by tanh.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_starcoder2();

static Result<ModelConfig> read_starcoder2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  c.activation = kernels::Activation::kGeluTanh;
  c.gated = false;
  c.qkv_bias = c.attention_out_bias = c.ffn_bias = Presence::kRequired;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_starcoder2() { return {"starcoder2", read_starcoder2}; }

}  // namespace hearth
