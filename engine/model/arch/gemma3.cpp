// Gemma 3 (Gemma Team 2025): Gemma 2 without caps, with norms on the heads of Q and K; five layers
// of six have a window, and a RoPE of their own without scaling.
#include <cmath>

#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_gemma3();

static Result<ModelConfig> read_gemma3(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  const KeyReader keys(file, c.architecture);
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.activation = kernels::Activation::kGeluTanh;
  c.norms.post_attention = "post_attention_norm";
  c.norms.post_ffn = "post_ffw_norm";
  c.qk_norm = QkNorm::kHead;
  HEARTH_ASSIGN_OR_RETURN(c.attention_softcap, keys.positive_or_none("attn_logit_softcapping"));
  HEARTH_ASSIGN_OR_RETURN(c.logit_softcap, keys.positive_or_none("final_logit_softcapping"));
  // As in Gemma 2, the 27B model alone; files do not say so.
  if (c.num_layers == 62)
    c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.hidden_size / c.num_heads));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig local, read_local_rope(file, c, kernels::RopeStyle::kHalves,
                                                            "rope.freq_base_swa", 10000.0F));
  c.ropes.push_back(std::move(local));
  HEARTH_RETURN_IF_ERROR(read_window_pattern(keys, 6, c));
  for (LayerConfig& layer : c.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return c;
}

Architecture architecture_gemma3() { return {"gemma3", read_gemma3}; }

}  // namespace hearth
