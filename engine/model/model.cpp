#include "engine/model/model.h"

#include "engine/model/architecture.h"
#include "engine/model/layer_loader.h"
#include "engine/model/tensor_lookup.h"

namespace hearth {

Result<std::unique_ptr<Model>> Model::load(const std::filesystem::path& path) {
  std::unique_ptr<Model> model(new Model());
  HEARTH_ASSIGN_OR_RETURN(model->file_, ModelFile::open(path));
  HEARTH_ASSIGN_OR_RETURN(model->config_, read_model_config(*model->file_));
  const ModelConfig& c = model->config_;

  TensorLookup tensors(*model->file_);
  // Worked into ModelConfig::ropes.
  for (const char* name :
       {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"})
    tensors.mark_used(name);
  HEARTH_ASSIGN_OR_RETURN(model->token_embedding_,
                          tensors.matrix("token_embd.weight", c.vocab_size, c.hidden_size));
  if (c.learned_positions > 0) {
    HEARTH_ASSIGN_OR_RETURN(
        model->position_embedding_,
        tensors.matrix("position_embd.weight", c.learned_positions, c.hidden_size));
  }
  for (int32_t i = 0; i < c.num_layers; ++i) {
    HEARTH_ASSIGN_OR_RETURN(LayerWeights layer, load_layer(tensors, c, i));
    model->layers_.push_back(std::move(layer));
  }
  HEARTH_ASSIGN_OR_RETURN(model->output_norm_,
                          tensors.norm("output_norm", c.hidden_size, c.norm.bias));
  if (c.output_matrix == Presence::kRequired || tensors.contains("output.weight")) {
    HEARTH_ASSIGN_OR_RETURN(model->output_,
                            tensors.linear("output", c.vocab_size, c.hidden_size, c.output_bias));
  } else {
    model->output_.weight = model->token_embedding_;
  }
  tensors.report_unused();
  return model;
}

}  // namespace hearth
