// Granite 3 with experts (IBM 2024), with or without a block beside them that every token takes.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_granitemoe();

static Result<ModelConfig> read_granitemoe(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c,
                          read_common_config(file, NormKind::kRms, Experts::kRequired));
  const KeyReader keys(file, c.architecture);
  HEARTH_ASSIGN_OR_RETURN(c.attention_scale,
                          keys.positive_or("attention.scale", c.attention_scale));
  HEARTH_ASSIGN_OR_RETURN(c.embedding_scale, keys.positive_or("embedding_scale", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(c.residual_scale, keys.positive_or("residual_scale", 1.0F));
  HEARTH_ASSIGN_OR_RETURN(const float divisor, keys.positive_or("logit_scale", 1.0F));
  c.logit_scale = 1.0F / divisor;
  if (keys.contains("expert_shared_feed_forward_length")) {
    HEARTH_ASSIGN_OR_RETURN(c.experts.shared_ffn_size,
                            keys.size("expert_shared_feed_forward_length", kMaxWidth));
  }
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_granitemoe() { return {"granitemoe", read_granitemoe}; }

}  // namespace hearth
