#include "engine/model/model.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <unordered_set>

#include "engine/gguf/quote.h"
#include "engine/model/architecture.h"

namespace hearth {
namespace {

/// Finds tensors by name and checks their shapes; remembers which were asked for.
class TensorLookup {
 public:
  explicit TensorLookup(const ModelFile& file)
      : file_(file), source_(file.path().filename().string()) {}

  /// A matrix [rows, cols] of any type that Hearth reads.
  Result<kernels::WeightView> matrix(const std::string& name, int64_t rows, int64_t cols) {
    HEARTH_ASSIGN_OR_RETURN(const TensorInfo* tensor, required(name));
    if (tensor->dims[0] != cols || tensor->dims[1] != rows || tensor->dims[2] != 1 ||
        tensor->dims[3] != 1) {
      return shape_error(*tensor, fmt::format("[{}, {}]", cols, rows));
    }
    return kernels::WeightView{.data = tensor->data,
                               .dtype = tensor->dtype,
                               .rows = rows,
                               .cols = cols,
                               .row_bytes = row_bytes(tensor->dtype, cols)};
  }

  /// A vector of f32, as norms and biases are stored.
  Result<const float*> vector(const std::string& name, int64_t size) {
    HEARTH_ASSIGN_OR_RETURN(const TensorInfo* tensor, required(name));
    if (tensor->dims[0] != size || tensor->dims[1] != 1 || tensor->dims[2] != 1 ||
        tensor->dims[3] != 1) {
      return shape_error(*tensor, fmt::format("[{}]", size));
    }
    if (tensor->dtype != DType::kF32 ||
        reinterpret_cast<uintptr_t>(tensor->data) % alignof(float) != 0) {
      return fail(ErrorCode::kUnsupported,
                  fmt::format("{}: tensor {} is {}, expected aligned f32", source_, name,
                              dtype_info(tensor->dtype).name),
                  name);
    }
    return reinterpret_cast<const float*>(tensor->data);
  }

  /// NAME.weight [rows, cols] and, where the file has it, NAME.bias [rows].
  Result<LinearWeights> linear(const std::string& name, int64_t rows, int64_t cols) {
    LinearWeights out;
    HEARTH_ASSIGN_OR_RETURN(out.weight, matrix(name + ".weight", rows, cols));
    if (file_.find_tensor(name + ".bias") != nullptr) {
      HEARTH_ASSIGN_OR_RETURN(out.bias, vector(name + ".bias", rows));
    }
    return out;
  }

  void mark_used(std::string_view name) { used_.insert(name); }

  /// Tensors that the description has no place for may change the model's meaning: say so.
  void report_unused() const {
    size_t unused = 0;
    std::string_view first;
    for (const TensorInfo& tensor : file_.tensors()) {
      if (used_.contains(tensor.name)) continue;
      if (unused++ == 0) first = tensor.name;
    }
    if (unused > 0) {
      spdlog::warn("{}: {} tensors are not used by this architecture, the first is {}", source_,
                   unused, quote_foreign(first));
    }
  }

 private:
  Result<const TensorInfo*> required(const std::string& name) {
    const TensorInfo* tensor = file_.find_tensor(name);
    if (tensor == nullptr)
      return fail(ErrorCode::kMalformed, fmt::format("{}: has no tensor {}", source_, name), name);
    used_.insert(tensor->name);
    return tensor;
  }

  [[nodiscard]] std::unexpected<Error> shape_error(const TensorInfo& tensor,
                                                   const std::string& expected) const {
    return fail(
        ErrorCode::kMalformed,
        fmt::format("{}: tensor {} has shape [{}, {}, {}, {}], expected {}", source_, tensor.name,
                    tensor.dims[0], tensor.dims[1], tensor.dims[2], tensor.dims[3], expected),
        std::string(tensor.name));
  }

  const ModelFile& file_;
  std::string source_;
  std::unordered_set<std::string_view> used_;
};

Result<LayerWeights> load_layer(TensorLookup& tensors, const ModelConfig& c, int32_t index) {
  const std::string prefix = fmt::format("blk.{}.", index);
  LayerWeights w;
  HEARTH_ASSIGN_OR_RETURN(w.attention_norm,
                          tensors.vector(prefix + "attn_norm.weight", c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.q, tensors.linear(prefix + "attn_q", c.q_size(), c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.k, tensors.linear(prefix + "attn_k", c.kv_size(), c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.v, tensors.linear(prefix + "attn_v", c.kv_size(), c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.attention_out,
                          tensors.linear(prefix + "attn_output", c.hidden_size, c.q_size()));
  if (c.qk_norm) {
    HEARTH_ASSIGN_OR_RETURN(w.q_norm, tensors.vector(prefix + "attn_q_norm.weight", c.head_dim));
    HEARTH_ASSIGN_OR_RETURN(w.k_norm, tensors.vector(prefix + "attn_k_norm.weight", c.head_dim));
  }
  HEARTH_ASSIGN_OR_RETURN(w.ffn_norm, tensors.vector(prefix + "ffn_norm.weight", c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.gate, tensors.linear(prefix + "ffn_gate", c.ffn_size, c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.up, tensors.linear(prefix + "ffn_up", c.ffn_size, c.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(w.down, tensors.linear(prefix + "ffn_down", c.hidden_size, c.ffn_size));
  return w;
}

}  // namespace

Result<std::unique_ptr<Model>> Model::load(const std::filesystem::path& path) {
  std::unique_ptr<Model> model(new Model());
  HEARTH_ASSIGN_OR_RETURN(model->file_, ModelFile::open(path));
  HEARTH_ASSIGN_OR_RETURN(model->config_, read_model_config(*model->file_));
  const ModelConfig& c = model->config_;

  TensorLookup tensors(*model->file_);
  tensors.mark_used("rope_freqs.weight");  // worked into ModelConfig::rope
  HEARTH_ASSIGN_OR_RETURN(model->token_embedding_,
                          tensors.matrix("token_embd.weight", c.vocab_size, c.hidden_size));
  for (int32_t i = 0; i < c.num_layers; ++i) {
    HEARTH_ASSIGN_OR_RETURN(LayerWeights layer, load_layer(tensors, c, i));
    model->layers_.push_back(layer);
  }
  HEARTH_ASSIGN_OR_RETURN(model->output_norm_, tensors.vector("output_norm.weight", c.hidden_size));
  if (model->file_->find_tensor("output.weight") != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(model->output_, tensors.linear("output", c.vocab_size, c.hidden_size));
  } else {
    model->output_.weight = model->token_embedding_;
  }
  tensors.report_unused();
  return model;
}

}  // namespace hearth
