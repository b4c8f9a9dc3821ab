#pragma once
// What a model may be quantized to, and which type each of its tensors gets.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/gguf/model_file.h"
#include "kernels/dtype.h"

namespace hearth {

/// Files of one name mix types: the tensors that rounding hurts most get a larger one.
enum class Mix : uint8_t {
  kNone,    // every matrix has the type itself
  kSmall,   // the output, and for some the first layers' attn_v and ffn_down
  kMedium,  // also attn_v and ffn_down of about half the layers, or all of them
  kLarge,
  kExperts,  // the type is for the experts; all other matrices are Q8_0
  kLayers,   // the type is for the layers; embeddings and output are Q8_0, of ternary types Q6_K
};

struct QuantizeTarget {
  std::string_view name;  // as files are named: "Q4_K_M"
  DType dtype;
  Mix mix;
  uint32_t file_type;  // general.file_type
};

/// The target of that name, in any case. kInvalidArgument lists the names.
Result<const QuantizeTarget*> find_quantize_target(std::string_view name);
/// All names, in ascending order of size within each family.
std::vector<std::string> quantize_target_names();
/// general.file_type of a model whose matrices are mostly of this type, 0 for types without one.
uint32_t file_type_of(DType dtype);

/// What the choice of a tensor's type depends on besides the tensor.
struct ModelShape {
  int32_t num_layers = 0;
  bool tied_embeddings = false;  // token_embd is the output, too
};
ModelShape shape_of(const ModelFile& file);

/// Whether a tensor is a weight matrix (or a stack of them) that is multiplied with activations or
/// looked up by token. Norms, biases, routers and position embeddings stay as they are.
bool is_quantizable(std::string_view name, uint32_t num_dims);

/// The type that the target means for a matrix, whatever its row length.
DType wanted_type(const QuantizeTarget& target, const ModelShape& shape, std::string_view name);

/// `wanted`, or where rows of `cols` values are not whole blocks of it, the smallest type at least
/// as exact that fits: one with blocks of 32, or F16.
DType fitting_type(DType wanted, int64_t cols);

}  // namespace hearth
