#include "engine/model/tensor_lookup.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <array>

#include "engine/gguf/quote.h"

namespace hearth {
namespace {

kernels::WeightView view_of(const TensorInfo& tensor, int64_t index) {
  const int64_t cols = tensor.dims[0];
  const int64_t rows = tensor.dims[1];
  const size_t row = row_bytes(tensor.dtype, cols);
  return {.data = tensor.data + static_cast<size_t>(index * rows) * row,
          .dtype = tensor.dtype,
          .rows = rows,
          .cols = cols,
          .row_bytes = row};
}

}  // namespace

TensorLookup::TensorLookup(const ModelFile& file)
    : file_(file), source_(file.path().filename().string()) {}

Result<kernels::WeightView> TensorLookup::matrix(const std::string& name, int64_t rows,
                                                 int64_t cols) {
  HEARTH_ASSIGN_OR_RETURN(const TensorInfo* tensor, required(name));
  if (tensor->dims != std::array<int64_t, 4>{cols, rows, 1, 1})
    return shape_error(*tensor, fmt::format("[{}, {}]", cols, rows));
  return view_of(*tensor, 0);
}

Result<const float*> TensorLookup::vector(const std::string& name, int64_t size, int64_t count) {
  HEARTH_ASSIGN_OR_RETURN(const TensorInfo* tensor, required(name));
  if (tensor->dims != std::array<int64_t, 4>{size, count, 1, 1}) {
    return shape_error(
        *tensor, count == 1 ? fmt::format("[{}]", size) : fmt::format("[{}, {}]", size, count));
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

Result<LinearWeights> TensorLookup::linear(const std::string& name, int64_t rows, int64_t cols,
                                           Presence bias_presence) {
  LinearWeights out;
  HEARTH_ASSIGN_OR_RETURN(out.weight, matrix(name + ".weight", rows, cols));
  HEARTH_ASSIGN_OR_RETURN(out.bias, bias(name + ".bias", rows, 1, bias_presence));
  return out;
}

Result<NormWeights> TensorLookup::norm(const std::string& name, int64_t size,
                                       Presence bias_presence, int64_t count) {
  NormWeights out;
  HEARTH_ASSIGN_OR_RETURN(out.weight, vector(name + ".weight", size, count));
  HEARTH_ASSIGN_OR_RETURN(out.bias, bias(name + ".bias", size, count, bias_presence));
  return out;
}

Result<ExpertMatrices> TensorLookup::experts(const std::string& name, int64_t count, int64_t rows,
                                             int64_t cols, Presence bias_presence) {
  ExpertMatrices out;
  const std::string together = name + "_exps.weight";
  if (!contains(together) && contains(name + ".0.weight")) {  // files of early 2024
    for (int64_t e = 0; e < count; ++e) {
      const std::string one = fmt::format("{}.{}.weight", name, e);
      HEARTH_ASSIGN_OR_RETURN(const kernels::WeightView view, matrix(one, rows, cols));
      if (e > 0 && view.dtype != out.weights.front().dtype) {
        return fail(
            ErrorCode::kUnsupported,
            fmt::format("{}: tensor {} is {}, expected {} as the other experts", source_, one,
                        dtype_info(view.dtype).name, dtype_info(out.weights.front().dtype).name),
            one);
      }
      out.weights.push_back(view);
    }
  } else {
    HEARTH_ASSIGN_OR_RETURN(const TensorInfo* tensor, required(together));
    if (tensor->dims != std::array<int64_t, 4>{cols, rows, count, 1})
      return shape_error(*tensor, fmt::format("[{}, {}, {}]", cols, rows, count));
    for (int64_t e = 0; e < count; ++e) out.weights.push_back(view_of(*tensor, e));
  }
  HEARTH_ASSIGN_OR_RETURN(out.bias, bias(name + "_exps.bias", rows, count, bias_presence));
  return out;
}

void TensorLookup::report_unused() const {
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

Result<const TensorInfo*> TensorLookup::required(const std::string& name) {
  const TensorInfo* tensor = file_.find_tensor(name);
  if (tensor == nullptr)
    return fail(ErrorCode::kMalformed, fmt::format("{}: has no tensor {}", source_, name), name);
  used_.insert(tensor->name);
  return tensor;
}

Result<const float*> TensorLookup::bias(const std::string& name, int64_t size, int64_t count,
                                        Presence presence) {
  if (presence == Presence::kAbsent || (presence == Presence::kOptional && !contains(name)))
    return nullptr;
  return vector(name, size, count);
}

std::unexpected<Error> TensorLookup::shape_error(const TensorInfo& tensor,
                                                 const std::string& expected) const {
  return fail(
      ErrorCode::kMalformed,
      fmt::format("{}: tensor {} has shape [{}, {}, {}, {}], expected {}", source_, tensor.name,
                  tensor.dims[0], tensor.dims[1], tensor.dims[2], tensor.dims[3], expected),
      std::string(tensor.name));
}

LinearWeights rows_of(const LinearWeights& weights, int64_t begin, int64_t count) {
  LinearWeights out = weights;
  out.weight.data = static_cast<const std::byte*>(weights.weight.data) +
                    static_cast<size_t>(begin) * weights.weight.row_bytes;
  out.weight.rows = count;
  if (weights.bias != nullptr) out.bias = weights.bias + begin;
  return out;
}

}  // namespace hearth
