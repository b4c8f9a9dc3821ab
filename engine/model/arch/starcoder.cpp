// StarCoder (Li et al. 2023): GPT-2 with one KV head for all heads.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"

namespace hearth {

Architecture architecture_starcoder();

static Result<ModelConfig> read_starcoder(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  c.activation = kernels::Activation::kGeluTanh;
  c.gated = false;
  c.fused_qkv = true;
  c.qkv_bias = c.attention_out_bias = c.ffn_bias = Presence::kRequired;
  HEARTH_RETURN_IF_ERROR(read_learned_positions(file, c));
  return c;
}

Architecture architecture_starcoder() { return {"starcoder", read_starcoder}; }

}  // namespace hearth
