#include "engine/gguf/parsed_file.h"

#include <optional>

#include "base/checked_math.h"
#include "kernels/quant/dequantize.h"

namespace hearth {

Result<uint64_t> tensor_bytes(const TensorInfo& tensor) {
  const DTypeInfo& type = dtype_info(tensor.dtype);
  const auto cols = static_cast<uint64_t>(tensor.dims[0]);
  if (cols % type.block_size != 0)
    return fail(ErrorCode::kMalformed, "dimension 0: " + std::to_string(cols) +
                                           ", expected a multiple of " +
                                           std::to_string(type.block_size) +
                                           ", the block size of " + std::string(type.name));
  // Elements must fit int64_t too: they are what kernels count with.
  std::optional<int64_t> elements = tensor.dims[0];
  for (uint32_t d = 1; d < tensor.num_dims && elements; ++d)
    elements = checked_mul(*elements, tensor.dims[d]);
  std::optional<uint64_t> size;
  if (elements)
    size =
        checked_mul<uint64_t>(static_cast<uint64_t>(*elements) / type.block_size, type.block_bytes);
  if (!size)
    return fail(ErrorCode::kMalformed,
                "shape: the element count overflows, expected less than 2^63 bytes");
  return *size;
}

void copy_vector_if_needed(TensorInfo& tensor, TensorCopies& copies) {
  // Wider than any model's rows: what is larger is no norm, and stays for the loader to refuse.
  constexpr int64_t kMaxValues = 1 << 20;
  const bool is_aligned = reinterpret_cast<uintptr_t>(tensor.data) % alignof(float) == 0;
  if (tensor.num_dims != 1 || tensor.dims[0] > kMaxValues) return;
  if (tensor.dtype == DType::kF32 && is_aligned) return;
  if (dtype_info(tensor.dtype).block_size != 1) return;
  const auto count = static_cast<size_t>(tensor.dims[0]);
  auto copy = std::make_unique_for_overwrite<float[]>(count);
  quant::dequantize_row(tensor.dtype, tensor.data, copy.get(), tensor.dims[0]);
  tensor.dtype = DType::kF32;
  tensor.data = reinterpret_cast<const std::byte*>(copy.get());
  tensor.bytes = count * sizeof(float);
  copies.push_back(std::move(copy));
}

}  // namespace hearth
