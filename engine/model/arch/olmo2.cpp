// OLMo 2 (OLMo Team 2025): norms behind the blocks only, and on all of Q and K together. OLMo 3
// adds windows in three layers of four, whose RoPE is not scaled.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_olmo2();

static Result<ModelConfig> read_olmo2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file));
  const KeyReader keys(file, c.architecture);
  c.norms.attention = c.norms.ffn = "";
  c.norms.post_attention = "post_attention_norm";
  c.norms.post_ffn = "post_ffw_norm";
  c.qk_norm = QkNorm::kAll;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kHalves));
  c.ropes.push_back(std::move(rope));
  HEARTH_ASSIGN_OR_RETURN(RopeConfig local, read_local_rope(file, c, kernels::RopeStyle::kHalves,
                                                            "rope.freq_base", 10000.0F));
  c.ropes.push_back(std::move(local));
  HEARTH_RETURN_IF_ERROR(read_window_pattern(keys, 4, c));
  for (LayerConfig& layer : c.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return c;
}

Architecture architecture_olmo2() { return {"olmo2", read_olmo2}; }

}  // namespace hearth
