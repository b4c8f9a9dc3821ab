#pragma once
// The weights of a layer where they lie in the mapped file. Shapes are [outputs, inputs].

#include <vector>

#include "kernels/tensor_view.h"

namespace hearth {

/// y = W x + b. The bias is null where the file has none; the data are null where there is no such
/// matrix.
struct LinearWeights {
  kernels::WeightView weight;
  const float* bias = nullptr;  // [weight.rows]

  [[nodiscard]] bool present() const { return weight.data != nullptr; }
};

/// A norm that is absent has no weights.
struct NormWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;

  [[nodiscard]] bool present() const { return weight != nullptr; }
};

/// One matrix of every expert.
struct ExpertMatrices {
  std::vector<kernels::WeightView> weights;  // [experts], of one shape and type
  const float* bias = nullptr;               // [experts, outputs] or null
};

/// A mixture of experts (Shazeer et al. 2017). The router is present where the layer has one.
struct ExpertWeights {
  LinearWeights router;  // [experts, hidden_size]
  ExpertMatrices gate;   // [experts.ffn_size, hidden_size] each
  ExpertMatrices up;     // the same
  ExpertMatrices down;   // [hidden_size, experts.ffn_size] each
};

struct LayerWeights {
  NormWeights attention_norm;       // [hidden_size]
  LinearWeights q;                  // [q_size, hidden_size]
  LinearWeights k;                  // [kv_size, hidden_size]
  LinearWeights v;                  // [kv_size, hidden_size]
  NormWeights q_norm;               // [head_dim] or [q_size], as ModelConfig::qk_norm says
  NormWeights k_norm;               // [head_dim] or [kv_size]
  const float* sinks = nullptr;     // [num_heads] or null
  LinearWeights attention_out;      // [hidden_size, q_size]
  NormWeights post_attention_norm;  // [hidden_size]
  NormWeights ffn_norm;             // [hidden_size]
  LinearWeights gate;               // [ffn_size, hidden_size], absent without ModelConfig::gated
  LinearWeights up;                 // [ffn_size, hidden_size]
  LinearWeights down;               // [hidden_size, ffn_size]
  ExpertWeights experts;            // beside or instead of gate, up and down
  NormWeights post_ffn_norm;        // [hidden_size]
};

}  // namespace hearth
