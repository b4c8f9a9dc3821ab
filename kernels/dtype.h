#pragma once
// Element types of tensors, numbered as in GGUF, and the size of their quantization blocks.
// C++20: CUDA code includes this header.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hearth {

/// Values are GGUF's tensor type ids, but for those of kFirstForeignType and on.
enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,

  // Block layouts of files of early 2023 (kernels/quant/legacy_blocks.h). GGUF has no such ids: a
  // number above all that it may ever have keeps them apart.
  kQ4_0F32Pairs = 1'000'000,
  kQ4_1F32Pairs = 1'000'001,
  kQ4_0F32 = 1'000'002,
  kQ4_1F32 = 1'000'003,
  kQ8_0F32 = 1'000'004,
};

inline constexpr uint32_t kFirstForeignType = 1'000'000;

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as GGUF tools print it, lower case: "q4_0"
  uint32_t block_size;    // elements in one quantization block; 1 for plain floats
  uint32_t block_bytes;   // bytes of one block
};

/// The row of `type_id`, or nullptr if it is not a type that Hearth reads.
const DTypeInfo* find_dtype(uint32_t type_id);
const DTypeInfo* find_dtype(std::string_view name);
/// The row of a type that is known to exist.
const DTypeInfo& dtype_info(DType dtype);

/// Bytes of a row of `cols` elements; `cols` must be a multiple of the block size.
inline size_t row_bytes(DType dtype, int64_t cols) {
  const DTypeInfo& info = dtype_info(dtype);
  return static_cast<size_t>(cols) / info.block_size * info.block_bytes;
}

}  // namespace hearth
