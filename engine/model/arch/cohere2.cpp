// Command R7B and A (Cohere 2024): Command R with a window in three layers of four; the fourth sees
// all and has no positions.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_cohere2();

static Result<ModelConfig> read_cohere2(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c, read_common_config(file, NormKind::kLayer));
  const KeyReader keys(file, c.architecture);
  c.norm.bias = Presence::kAbsent;
  c.norms.ffn = c.norms.attention;
  c.parallel_residual = true;
  HEARTH_ASSIGN_OR_RETURN(c.logit_scale, keys.positive("logit_scale"));
  HEARTH_RETURN_IF_ERROR(keys.size("attention.sliding_window", kMaxContext));
  HEARTH_RETURN_IF_ERROR(read_window_pattern(keys, 4, c));
  for (LayerConfig& layer : c.layers)
    if (layer.window == 0) layer.rope = kNoRope;
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_cohere2() { return {"cohere2", read_cohere2}; }

}  // namespace hearth
