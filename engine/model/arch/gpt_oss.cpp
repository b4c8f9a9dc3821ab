// gpt-oss (OpenAI 2025): experts with a clamped SwiGLU, attention sinks, a window in every other
// layer, biases. The norm before its experts goes by the name post_attention_norm.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_gpt_oss();

static Result<ModelConfig> read_gpt_oss(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c,
                          read_common_config(file, NormKind::kRms, Experts::kRequired));
  const KeyReader keys(file, c.architecture);
  HEARTH_RETURN_IF_ERROR(keys.size("attention.sliding_window", kMaxContext));
  HEARTH_RETURN_IF_ERROR(read_window_pattern(keys, 2, c));
  c.norms.ffn = "post_attention_norm";
  c.activation = kernels::Activation::kClampedSwiglu;
  c.sinks = true;
  c.qkv_bias = c.attention_out_bias = c.experts.bias = Presence::kRequired;
  c.output_matrix = Presence::kRequired;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope,
                          read_rope(file, c, kernels::RopeStyle::kHalves, YarnRange::kFraction));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_gpt_oss() { return {"gpt-oss", read_gpt_oss}; }

}  // namespace hearth
