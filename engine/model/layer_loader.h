#pragma once
// The tensors of one layer, as the description names and shapes them.

#include "base/result.h"
#include "engine/model/layer_weights.h"
#include "engine/model/model_config.h"
#include "engine/model/tensor_lookup.h"

namespace hearth {

/// Layer `index`: views into the file, nothing is copied. What the description asks for and the
/// file lacks, or has in another shape, is an error that names the tensor.
Result<LayerWeights> load_layer(TensorLookup& tensors, const ModelConfig& config, int32_t index);

}  // namespace hearth
