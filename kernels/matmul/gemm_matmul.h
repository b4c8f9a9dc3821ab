#pragma once
// Matmuls of many rows by a library (kernels/cuda/gemm.h). Included by .cu files after simt.h.
//
// F16 and BF16 weights meet x rounded to their type. Types that only the slow scalar kernel knows
// are dequantized to f32, a band of rows of weights at a time.

#include "kernels/cuda/elementwise.h"
#include "kernels/matmul/matmul_place.h"
#include "kernels/quant/legacy_blocks.h"
#include "kernels/quant/unpack_codebook.h"

namespace hearth::kernels::HEARTH_SIMT {

/// With more rows a library may be faster. With so many, products wait for the weights, which our
/// kernels read as fast: an H200 multiplies 200 rows while it reads F16 weights. And decode steps
/// of up to 64 sequences keep their equal bits.
inline constexpr int kMostOwnRows = 64;

/// These return false, and do nothing, where the library is not asked: without one, with few rows,
/// and for experts.
///
/// `type` is kF16 or kBF16, and args.x_f32 is set.
bool launch_gemm_float(const ExecContext& context, DType type, const TensorMatmulArgs& args);

/// Rows of weights as f32.
struct DequantizeArgs {
  const uint8_t* weight = nullptr;  // [rows, cols] of a quantized type
  int64_t row_bytes = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  float* out = nullptr;  // [rows, cols]
};
using Dequantize = void (*)(const ExecContext& context, const DequantizeArgs& args);

/// x is args.x with its scales, as HalfRows.
bool launch_gemm_dequantized(const ExecContext& context, const TensorMatmulArgs& args,
                             Dequantize dequantize);

/// A thread for each 32 values, by the scalar definition of the type.
template <typename Block>
struct DequantizeGroup {
  using Args = DequantizeArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    constexpr int kGroups = quant::kBlockSize<Block> / 32;
    const int64_t groups = args.cols / 32;
    const int64_t row = index / groups;
    const int64_t group = index % groups;
    const auto* blocks = reinterpret_cast<const Block*>(args.weight + row * args.row_bytes);
    quant::Group32 unpacked;
    quant::unpack_group(blocks[group / kGroups], static_cast<int>(group % kGroups), unpacked);
    auto* out = reinterpret_cast<simt::Vec16*>(args.out + index * 32);
    for (int i = 0; i < 32; ++i) {
      const float value =
          unpacked.scale[i / 16] * static_cast<float>(unpacked.q[i]) - unpacked.min[i / 16];
      out[i / 4].word[i % 4] = float_to_bits(value);
    }
  }
};

template <typename Block>
void dequantize(const ExecContext& context, const DequantizeArgs& args) {
  for_each<DequantizeGroup<Block>>(context, args.rows * (args.cols / 32), args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
