// GPT-2 (Radford et al. 2019): LayerNorm, learned positions, biases everywhere, GELU by tanh.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"

namespace hearth {

Architecture architecture_gpt2();

static Result<ModelConfig> read_gpt2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  c.activation = kernels::Activation::kGeluTanh;
  c.gated = false;
  c.fused_qkv = true;
  c.qkv_bias = c.attention_out_bias = c.ffn_bias = Presence::kRequired;
  HEARTH_RETURN_IF_ERROR(read_learned_positions(file, c));
  return c;
}

Architecture architecture_gpt2() { return {"gpt2", read_gpt2}; }

}  // namespace hearth
