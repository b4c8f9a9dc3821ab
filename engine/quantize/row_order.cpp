#include "engine/quantize/row_order.h"

#include <string>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

bool is_query_or_key(std::string_view name) {
  return name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight") ||
         name.ends_with(".attn_q.bias") || name.ends_with(".attn_k.bias");
}

}  // namespace

Result<RowOrder> RowOrder::of(const ModelFile& file, const OutputTensor& tensor) {
  RowOrder order;
  const Metadata& metadata = file.metadata();
  HEARTH_ASSIGN_OR_RETURN(const bool halves, metadata.bool_or("hearth.rope.halves", false));
  if (!halves || !is_query_or_key(tensor.name)) return order;
  HEARTH_ASSIGN_OR_RETURN(const auto architecture, metadata.string("general.architecture"));
  const std::string prefix(architecture);
  HEARTH_ASSIGN_OR_RETURN(const uint32_t head_dim, metadata.u32(prefix + ".attention.key_length"));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t rotary_dim,
                          metadata.u32_or(prefix + ".rope.dimension_count", head_dim));
  const int64_t rows = tensor.num_dims == 1 ? tensor.dims[0] : tensor.dims[1];
  if (head_dim == 0 || rows % head_dim != 0 || rotary_dim > head_dim || rotary_dim % 2 != 0) {
    return fail(ErrorCode::kMalformed,
                quote_foreign(file.path().string()) + ": tensor " + quote_foreign(tensor.name) +
                    ": " + std::to_string(rows) + " rows, expected whole heads of " +
                    std::to_string(head_dim) + ", of which an even number up to that rotate, not " +
                    std::to_string(rotary_dim));
  }
  order.head_dim_ = head_dim;
  order.rotary_dim_ = rotary_dim;
  return order;
}

}  // namespace hearth
