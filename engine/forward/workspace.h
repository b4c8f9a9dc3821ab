#pragma once
// The activations of one step.

#include <cstdint>
#include <vector>

#include "engine/backend/host_memory.h"
#include "engine/model/model_config.h"
#include "kernels/kernel_table.h"

namespace hearth {

/// The most rows a step can have, the most of them whose logits can be asked for, and the most
/// tokens of a sequence.
struct ForwardLimits {
  int32_t rows = 512;
  int32_t logit_rows = 16;
  int32_t context_tokens = 0;    // 0: not known; longrope takes its frequencies by it
  int32_t sequences = 1;         // the most in a step
  bool fast_math_order = false;  // EngineOptions::fast_math_order: devices need memory for it

  /// Page table entries of the largest step: each sequence as long as the context.
  [[nodiscard]] int64_t step_pages() const;
};

/// Where the rows of a step go among the experts (kernels::RouteArgs), and what the experts work
/// on: a slot for each row and rank. Null without experts.
struct ExpertWorkspace {
  float* logits = nullptr;    // [rows, experts]
  int32_t* chosen = nullptr;  // [rows, used]
  float* weight = nullptr;    // [rows, used]
  int32_t* begin = nullptr;   // [experts + 1]
  int32_t* source = nullptr;  // [slots]
  int32_t* slot = nullptr;    // [rows, used]
  float* x = nullptr;         // [slots, hidden_size]: rows in, then what the experts give
  float* gate = nullptr;      // [slots, experts.ffn_size]
  float* up = nullptr;        // [slots, experts.ffn_size]
};

/// Each [rows, …] f32 unless noted; null where the model has no use for it.
struct Workspace {
  float* x = nullptr;               // [rows, hidden_size], the residual stream
  float* normed = nullptr;          // [rows, hidden_size]
  float* ffn_normed = nullptr;      // [rows, hidden_size], with a parallel residual
  float* branch = nullptr;          // [rows, hidden_size], what a block adds to the stream
  float* q = nullptr;               // [rows, q_size]
  float* k = nullptr;               // [rows, kv_size]
  float* v = nullptr;               // [rows, kv_size]
  float* attention = nullptr;       // [rows, q_size]
  float* gate = nullptr;            // [rows, ffn_size]
  float* up = nullptr;              // [rows, ffn_size]
  std::vector<float*> rope_tables;  // [ropes]: [rows, rotary_dim / 2, 2]
  ExpertWorkspace experts;
  kernels::Q8Rows q8;            // of the widest matmul input
  kernels::HalfRows half;        // the same memory: a kernel table uses one of them
  float* logit_input = nullptr;  // [logit_rows, hidden_size]
  float* logits = nullptr;       // [logit_rows, vocab_size]
};

/// Whether the blocks of this model write to Workspace::branch, to be normed or scaled before they
/// are added to the stream; else their last matmul adds them.
bool has_branch(const ModelConfig& config);

/// Values of the largest input of a matmul: rows of the stream, heads or a feed-forward block; rows
/// of logits, which may be all of a batch; slots of experts.
size_t largest_matmul_input(const ModelConfig& config, const ForwardLimits& limits);

/// Rows of the input of a matmul that has the most of them.
size_t matmul_input_rows(const ModelConfig& config, const ForwardLimits& limits);

/// Takes all of it from the arena; with an arena that only counts, pointers mean nothing.
Workspace lay_out_workspace(Arena& arena, const ModelConfig& config, const ForwardLimits& limits);

}  // namespace hearth
