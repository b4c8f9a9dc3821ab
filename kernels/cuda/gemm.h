#pragma once
// Products of whole matrices by a library of the device's maker: where --fast-math-order lets
// matmuls of many rows go. How it sums up depends on the number of rows: DESIGN rule 3 is given up.
// C++20: CUDA code includes this header.

#include <cstdint>

namespace hearth::kernels::simt {

struct OpContext;

/// What weights and x are.
enum class GemmType {
  kF16,   // both F16
  kBF16,  // both BF16
  kTF32,  // both f32, of which products may take the 11 most significant bits
};

/// out[r, o] = dot(weight[o], x[r]), added to what is in out if `accumulate`. Device memory.
struct GemmArgs {
  GemmType type = GemmType::kF16;
  const void* weight = nullptr;  // [outputs, cols], weight_stride values from row to row
  int64_t weight_stride = 0;
  const void* x = nullptr;  // [rows, cols], rows contiguous
  float* out = nullptr;     // [rows, outputs], out_stride floats from row to row
  int64_t out_stride = 0;
  int32_t rows = 0;
  int32_t outputs = 0;
  int32_t cols = 0;
  bool accumulate = false;  // else what is in out is not read
};

class Gemm {
 public:
  Gemm() = default;
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;
  virtual ~Gemm() = default;

  /// Multiplies on the context's stream, with sums in f32; the host goes on. May be recorded.
  virtual void multiply(const OpContext& op, const GemmArgs& args) = 0;
};

/// Ends the process if the product is none that every library takes: pointers aligned to their
/// values, no stride shorter than its rows, all of it within 2^31.
void check_gemm(const GemmArgs& args);

}  // namespace hearth::kernels::simt
