#pragma once
// Borrowed tensors as the ops see them. Plain structs, C++20: CUDA code includes this header.

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace hearth::kernels {

/// A weight matrix where it lies in the model file: [rows, cols], row-major, blocks along a row.
/// y = W x has `rows` outputs and `cols` inputs.
struct WeightView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  size_t row_bytes = 0;
};

/// Rows quantized to int8 in blocks of 32 values: x[i] ≈ scale[i / 32] * q[i], |q| <= 127.
/// Every weight type is multiplied against this one form, K-quants too.
struct Q8Rows {
  int8_t* q = nullptr;       // [rows, cols]
  float* scale = nullptr;    // [rows, cols / 32]
  int16_t* sum16 = nullptr;  // [rows, cols / 16]: sum of q over 16 values (for types with minima)
};

/// Rows as 16-bit floats in the order that tensor cores read them: what quantized weights meet on a
/// GPU (kernels/quant/cuda_half_rows.h). Divided by a scale for each of a row's kParts parts.
struct HalfRows {
  static constexpr int32_t kParts = 8;
  uint16_t* value = nullptr;  // [rows, cols] f16
  float* scale = nullptr;     // [rows, kParts], powers of two
  /// [rows, cols / 32]: sums of 32 values as they are in `value`, each as two f16 that add up to it
  /// (to 22 bits), the larger one in the low half.
  uint32_t* sum32 = nullptr;
  float* sum16 = nullptr;  // [rows, cols / 16]
  bool in_order = false;   // values are in their own order, as F16 weights meet them
};

/// The input of a matmul: [rows, cols] in one or more forms. A form that no weight of the group
/// asks for (KernelTable::matmul_input) may be absent.
struct ActivationView {
  const float* f32 = nullptr;  // [rows, cols], rows contiguous
  Q8Rows q8;
  int64_t rows = 0;
  int64_t cols = 0;
  HalfRows half = {};
};

/// One layer's KV cache: pages of `page_tokens` tokens. Page p begins at base + p * page_bytes and
/// holds K [num_kv_heads, page_tokens, head_dim], then V of the same shape, in `dtype`.
struct KvLayerView {
  void* base = nullptr;
  size_t page_bytes = 0;
  DType dtype = DType::kF16;  // kF16, kF32 or kQ8_0 (blocks of 32 along head_dim)
  int32_t page_tokens = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
};

/// Rows of one sequence in a step's batch: `row_count` consecutive rows from `row_begin`, at
/// positions first_position, first_position + 1, …. `pages` maps page index (position /
/// page_tokens) to page number and covers all positions up to the last row's.
struct SequenceRows {
  int32_t row_begin = 0;
  int32_t row_count = 0;
  int32_t first_position = 0;
  const int32_t* pages = nullptr;
};

}  // namespace hearth::kernels
