#include "engine/legacy/legacy_names.h"

#include <array>
#include <utility>

namespace hearth {
namespace {

using Names = std::pair<std::string_view, std::string_view>;

constexpr std::array<Names, 4> kModelNames = {{
    {"tok_embeddings.weight", "token_embd.weight"},
    {"norm.weight", "output_norm.weight"},
    {"output.weight", "output.weight"},
    {"rope.freqs", ""},
}};

constexpr std::array<Names, 10> kLayerNames = {{
    {"attention_norm.weight", "attn_norm.weight"},
    {"attention.wq.weight", "attn_q.weight"},
    {"attention.wk.weight", "attn_k.weight"},
    {"attention.wv.weight", "attn_v.weight"},
    {"attention.wo.weight", "attn_output.weight"},
    {"ffn_norm.weight", "ffn_norm.weight"},
    {"feed_forward.w1.weight", "ffn_gate.weight"},
    {"feed_forward.w2.weight", "ffn_down.weight"},
    {"feed_forward.w3.weight", "ffn_up.weight"},
    {"attention.inner_attention.rope.freqs", ""},
}};

}  // namespace

std::string gguf_name_of_legacy(std::string_view name) {
  for (const auto& [legacy, gguf] : kModelNames)
    if (name == legacy) return std::string(gguf);
  constexpr std::string_view kLayers = "layers.";
  if (!name.starts_with(kLayers)) return std::string(name);
  const size_t dot = name.find('.', kLayers.size());
  if (dot == std::string_view::npos) return std::string(name);
  const std::string_view number = name.substr(kLayers.size(), dot - kLayers.size());
  for (const auto& [legacy, gguf] : kLayerNames) {
    if (name.substr(dot + 1) != legacy) continue;
    if (gguf.empty()) return {};
    std::string out = "blk.";
    out.append(number).append(".").append(gguf);
    return out;
  }
  return std::string(name);
}

}  // namespace hearth
