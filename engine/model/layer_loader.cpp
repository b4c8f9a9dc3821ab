#include "engine/model/layer_loader.h"

#include <string>

namespace hearth {
namespace {

class LayerLoader {
 public:
  LayerLoader(TensorLookup& tensors, const ModelConfig& config, int32_t index)
      : tensors_(tensors),
        c_(config),
        layer_(config.layers[static_cast<size_t>(index)]),
        prefix_("blk." + std::to_string(index) + ".") {}

  Result<LayerWeights> load() {
    HEARTH_RETURN_IF_ERROR(load_norms());
    HEARTH_RETURN_IF_ERROR(load_qkv());
    HEARTH_RETURN_IF_ERROR(load_qk_norms());
    HEARTH_ASSIGN_OR_RETURN(w_.attention_out, linear("attn_output", c_.hidden_size, c_.q_size(),
                                                     c_.attention_out_bias));
    if (c_.sinks) {
      HEARTH_ASSIGN_OR_RETURN(w_.sinks,
                              tensors_.vector(prefix_ + "attn_sinks.weight", c_.num_heads));
    }
    if (c_.experts.count > 0 && !layer_.dense) {
      HEARTH_RETURN_IF_ERROR(load_experts());
    } else {
      HEARTH_RETURN_IF_ERROR(load_ffn("", c_.ffn_size));
    }
    return std::move(w_);
  }

 private:
  Result<LinearWeights> linear(const std::string& name, int64_t rows, int64_t cols, Presence bias) {
    return tensors_.linear(prefix_ + name, rows, cols, bias);
  }

  Result<NormWeights> norm(std::string_view name, int64_t size, int64_t count = 1) {
    if (name.empty()) return NormWeights{};
    return tensors_.norm(prefix_ + std::string(name), size, c_.norm.bias, count);
  }

  Status load_norms() {
    HEARTH_ASSIGN_OR_RETURN(w_.attention_norm, norm(c_.norms.attention, c_.hidden_size));
    HEARTH_ASSIGN_OR_RETURN(w_.post_attention_norm, norm(c_.norms.post_attention, c_.hidden_size));
    HEARTH_ASSIGN_OR_RETURN(w_.ffn_norm, norm(c_.norms.ffn, c_.hidden_size));
    HEARTH_ASSIGN_OR_RETURN(w_.post_ffn_norm, norm(c_.norms.post_ffn, c_.hidden_size));
    return {};
  }

  Status load_qkv() {
    const int64_t q_size = c_.q_size();
    const int64_t kv_size = c_.kv_size();
    const bool has_fused = tensors_.contains(prefix_ + "attn_qkv.weight");
    const bool has_split = tensors_.contains(prefix_ + "attn_q.weight");
    if (has_fused || (c_.fused_qkv && !has_split)) {
      HEARTH_ASSIGN_OR_RETURN(const LinearWeights qkv, linear("attn_qkv", q_size + 2 * kv_size,
                                                              c_.hidden_size, c_.qkv_bias));
      w_.q = rows_of(qkv, 0, q_size);
      w_.k = rows_of(qkv, q_size, kv_size);
      w_.v = rows_of(qkv, q_size + kv_size, kv_size);
      return {};
    }
    // Of optional biases, there are all three or none.
    const bool biased = has_bias("attn_q") || has_bias("attn_k") || has_bias("attn_v");
    const Presence bias =
        biased && c_.qkv_bias == Presence::kOptional ? Presence::kRequired : c_.qkv_bias;
    HEARTH_ASSIGN_OR_RETURN(w_.q, linear("attn_q", q_size, c_.hidden_size, bias));
    HEARTH_ASSIGN_OR_RETURN(w_.k, linear("attn_k", kv_size, c_.hidden_size, bias));
    HEARTH_ASSIGN_OR_RETURN(w_.v, linear("attn_v", kv_size, c_.hidden_size, bias));
    return {};
  }

  [[nodiscard]] bool has_bias(const std::string& name) const {
    return tensors_.contains(prefix_ + name + ".bias");
  }

  Status load_qk_norms() {
    if (c_.qk_norm == QkNorm::kNone || c_.qk_norm == QkNorm::kRotated) return {};
    const auto load = [this](const char* name, int64_t heads) {
      if (c_.qk_norm == QkNorm::kAll) return norm(name, heads * c_.head_dim);
      return norm(name, c_.head_dim, c_.qk_norm == QkNorm::kEachHead ? heads : 1);
    };
    HEARTH_ASSIGN_OR_RETURN(w_.q_norm, load("attn_q_norm", c_.num_heads));
    HEARTH_ASSIGN_OR_RETURN(w_.k_norm, load("attn_k_norm", c_.num_kv_heads));
    return {};
  }

  /// The dense block; `suffix` tells the one beside experts from the one instead of them.
  Status load_ffn(const std::string& suffix, int64_t size) {
    const auto name = [&](const char* stem) { return stem + suffix; };
    if (c_.gated && c_.fused_gate_up) {
      HEARTH_ASSIGN_OR_RETURN(const LinearWeights both,
                              linear(name("ffn_up"), 2 * size, c_.hidden_size, c_.ffn_bias));
      w_.gate = rows_of(both, 0, size);
      w_.up = rows_of(both, size, size);
    } else {
      if (c_.gated) {
        HEARTH_ASSIGN_OR_RETURN(w_.gate,
                                linear(name("ffn_gate"), size, c_.hidden_size, c_.ffn_bias));
      }
      HEARTH_ASSIGN_OR_RETURN(w_.up, linear(name("ffn_up"), size, c_.hidden_size, c_.ffn_bias));
    }
    HEARTH_ASSIGN_OR_RETURN(w_.down, linear(name("ffn_down"), c_.hidden_size, size, c_.ffn_bias));
    return {};
  }

  Status load_experts() {
    const ExpertConfig& e = c_.experts;
    const auto matrices = [&](const char* name, int64_t rows, int64_t cols) {
      return tensors_.experts(prefix_ + name, e.count, rows, cols, e.bias);
    };
    ExpertWeights& w = w_.experts;
    HEARTH_ASSIGN_OR_RETURN(w.router, linear("ffn_gate_inp", e.count, c_.hidden_size, e.bias));
    HEARTH_ASSIGN_OR_RETURN(w.gate, matrices("ffn_gate", e.ffn_size, c_.hidden_size));
    HEARTH_ASSIGN_OR_RETURN(w.up, matrices("ffn_up", e.ffn_size, c_.hidden_size));
    HEARTH_ASSIGN_OR_RETURN(w.down, matrices("ffn_down", c_.hidden_size, e.ffn_size));
    if (e.shared_ffn_size == 0) return {};
    return load_ffn("_shexp", e.shared_ffn_size);
  }

  TensorLookup& tensors_;
  const ModelConfig& c_;
  const LayerConfig& layer_;
  std::string prefix_;
  LayerWeights w_;
};

}  // namespace

Result<LayerWeights> load_layer(TensorLookup& tensors, const ModelConfig& config, int32_t index) {
  return LayerLoader(tensors, config, index).load();
}

}  // namespace hearth
