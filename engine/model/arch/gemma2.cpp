// Gemma 2 (Gemma Team 2024): Gemma with norms behind the blocks too, soft caps on scores and
// logits, and a window in every other layer.
#include <cmath>

#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_gemma2();

static Result<ModelConfig> read_gemma2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  const KeyReader keys(file, c.architecture);
  c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  c.activation = kernels::Activation::kGeluTanh;
  c.norms.post_attention = "post_attention_norm";
  c.norms.post_ffn = "post_ffw_norm";
  // Files of its first weeks lack these keys; there are no models with other values.
  HEARTH_ASSIGN_OR_RETURN(const int32_t window,
                          keys.size_or("attention.sliding_window", 4096, kMaxContext));
  for (LayerConfig& layer : c.layers) layer.window = window;
  HEARTH_RETURN_IF_ERROR(read_window_pattern(keys, 2, c));
  HEARTH_ASSIGN_OR_RETURN(c.attention_softcap, keys.positive_or("attn_logit_softcapping", 50.0F));
  HEARTH_ASSIGN_OR_RETURN(c.logit_softcap, keys.positive_or("final_logit_softcapping", 30.0F));
  // The 27B model alone scales by the stream's share of a head instead of the head's size; files do
  // not say so.
  if (c.num_layers == 46)
    c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.hidden_size / c.num_heads));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_gemma2() { return {"gemma2", read_gemma2}; }

}  // namespace hearth
