// Llama 4, text (Meta 2025): three layers of four rotate and see their chunk of the context; the
// fourth sees all, has no positions, and a temperature far into a context. Each token takes an
// expert beside a block that all take; some models have experts in every second layer only.
#include "engine/model/architecture.h"
#include "engine/model/config_reader.h"
#include "engine/model/rope_reader.h"

namespace hearth {

Architecture architecture_llama4();

static Result<ModelConfig> read_llama4(const ModelFile& file) {
  HEARTH_ASSIGN_OR_RETURN(ModelConfig c,
                          read_common_config(file, NormKind::kRms, Experts::kRequired));
  const KeyReader keys(file, c.architecture);
  c.experts.router = kernels::Router::kSigmoid;
  c.experts.weigh_input = true;
  c.experts.shared_ffn_size = c.experts.ffn_size;
  HEARTH_ASSIGN_OR_RETURN(const int32_t step,
                          keys.size_or("interleave_moe_layer_step", 1, kMaxLayers));
  // The numbers of all published models; files do not have them. The one with 128 experts has no
  // norms on Q and K.
  constexpr int32_t kChunk = 8192;
  constexpr int32_t kPeriod = 4;
  HEARTH_ASSIGN_OR_RETURN(const uint32_t window,
                          file.metadata().u32_or(keys.key("attention.sliding_window"), kChunk));
  const bool chunked = window != 0;  // 0 stands for a model without chunks: all layers alike
  if (chunked) c.temperature = {.length = 8192, .scale = 0.1F};
  if (c.experts.count != 128) c.qk_norm = QkNorm::kRotated;
  for (int32_t i = 0; i < c.num_layers; ++i) {
    LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    layer.dense = (i + 1) % step != 0;
    layer.window = 0;
    if (!chunked) continue;
    if ((i + 1) % kPeriod == 0) {
      layer.rope = kNoRope;
    } else {
      layer.chunk = kChunk;
    }
  }
  HEARTH_ASSIGN_OR_RETURN(RopeConfig rope, read_rope(file, c, kernels::RopeStyle::kInterleaved));
  c.ropes.push_back(std::move(rope));
  return c;
}

Architecture architecture_llama4() { return {"llama4", read_llama4}; }

}  // namespace hearth
