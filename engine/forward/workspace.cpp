#include "engine/forward/workspace.h"

#include <algorithm>

#include "base/checked_math.h"
#include "engine/kv_cache/kv_cache.h"

namespace hearth {
namespace {

ExpertWorkspace lay_out_experts(Arena& arena, const ModelConfig& c, size_t rows) {
  const ExpertConfig& e = c.experts;
  const auto count = static_cast<size_t>(e.count);
  const size_t slots = rows * static_cast<size_t>(e.used);
  const auto ffn = static_cast<size_t>(e.ffn_size);
  ExpertWorkspace w;
  w.logits = arena.take<float>(rows * count);
  w.chosen = arena.take<int32_t>(slots);
  w.weight = arena.take<float>(slots);
  w.begin = arena.take<int32_t>(count + 1);
  w.source = arena.take<int32_t>(slots);
  w.slot = arena.take<int32_t>(slots);
  w.x = arena.take<float>(slots * static_cast<size_t>(c.hidden_size));
  w.gate = arena.take<float>(slots * ffn);
  w.up = arena.take<float>(slots * ffn);
  return w;
}

/// The widest dense feed-forward block of any layer; 0 where all are experts.
size_t dense_ffn(const ModelConfig& c) {
  const bool has_dense = c.experts.count == 0 || std::ranges::any_of(c.layers, &LayerConfig::dense);
  return static_cast<size_t>(std::max(c.experts.shared_ffn_size, has_dense ? c.ffn_size : 0));
}

/// Inputs of matmuls in their compact forms, which share the memory of the larger one.
void lay_out_compact(Arena& arena, Workspace& w, size_t values, size_t rows) {
  w.half.value = arena.take<uint16_t>(values);
  w.half.scale = arena.take<float>(rows * kernels::HalfRows::kParts);
  w.half.sum32 = arena.take<uint32_t>(values / 32 + 1);
  w.half.sum16 = arena.take<float>(values / 16 + 1);
  w.q8.q = reinterpret_cast<int8_t*>(w.half.value);
  w.q8.scale = reinterpret_cast<float*>(w.half.sum32);
  w.q8.sum16 = reinterpret_cast<int16_t*>(w.half.sum16);
}

}  // namespace

int64_t ForwardLimits::step_pages() const {
  return int64_t{sequences} * ceil_div<int64_t>(context_tokens, kPageTokens);
}

size_t largest_matmul_input(const ModelConfig& c, const ForwardLimits& limits) {
  const auto rows = static_cast<size_t>(std::max(limits.rows, limits.logit_rows));
  const auto hidden = static_cast<size_t>(c.hidden_size);
  const size_t dense = rows * std::max({hidden, static_cast<size_t>(c.q_size()), dense_ffn(c)});
  const size_t slots = static_cast<size_t>(limits.rows) * static_cast<size_t>(c.experts.used);
  return std::max(dense, slots * std::max(hidden, static_cast<size_t>(c.experts.ffn_size)));
}

size_t matmul_input_rows(const ModelConfig& c, const ForwardLimits& limits) {
  return static_cast<size_t>(std::max(limits.rows, limits.logit_rows)) *
         static_cast<size_t>(std::max(c.experts.used, 1));
}

bool has_branch(const ModelConfig& config) {
  return config.residual_scale != 1.0F || !config.norms.post_attention.empty() ||
         !config.norms.post_ffn.empty();
}

Workspace lay_out_workspace(Arena& arena, const ModelConfig& c, const ForwardLimits& limits) {
  const auto rows = static_cast<size_t>(limits.rows);
  const auto logit_rows = static_cast<size_t>(limits.logit_rows);
  const auto hidden = static_cast<size_t>(c.hidden_size);
  const auto q_size = static_cast<size_t>(c.q_size());
  const auto kv_size = static_cast<size_t>(c.kv_size());
  const bool has_experts = c.experts.count > 0;
  const size_t ffn = dense_ffn(c);
  Workspace w;
  w.x = arena.take<float>(rows * hidden);
  w.normed = arena.take<float>(rows * hidden);
  if (c.parallel_residual) w.ffn_normed = arena.take<float>(rows * hidden);
  if (has_branch(c)) w.branch = arena.take<float>(rows * hidden);
  w.q = arena.take<float>(rows * q_size);
  w.k = arena.take<float>(rows * kv_size);
  w.v = arena.take<float>(rows * kv_size);
  w.attention = arena.take<float>(rows * q_size);
  w.gate = arena.take<float>(rows * ffn);
  w.up = arena.take<float>(rows * ffn);
  for (const RopeConfig& rope : c.ropes)
    w.rope_tables.push_back(arena.take<float>(rows * static_cast<size_t>(rope.rotary_dim)));
  if (has_experts) w.experts = lay_out_experts(arena, c, rows);
  lay_out_compact(arena, w, largest_matmul_input(c, limits), matmul_input_rows(c, limits));
  w.logit_input = arena.take<float>(logit_rows * hidden);
  w.logits = arena.take<float>(logit_rows * static_cast<size_t>(c.vocab_size));
  return w;
}

}  // namespace hearth
