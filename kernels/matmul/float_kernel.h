#pragma once
// The matmul of F32, F16 and BF16 weights over an instruction set (see quantized_kernel.h for Isa).
//
// An output has two accumulators of kLanes lanes; vector v of a row goes to accumulator v % 2, in
// order, and the last, partial vector is padded with zeros. At the end their sum is reduced by one
// fixed tree. Tiles of several weight rows and rows of x only share loads.

#include <cstring>

#include "kernels/matmul/line_prefetch.h"
#include "kernels/matmul/quantized_kernel.h"

namespace hearth::kernels::simd {

struct FloatTask {
  const uint8_t* weight;  // row 0 of the job
  size_t row_bytes;
  const float* x;  // [rows, cols]
  int64_t rows;
  int64_t cols;
  const float* bias;  // may be null
  bool accumulate;
  float* out;
  int64_t out_stride;
};

/// kM rows of weights times kR rows of x; dots[m][r]. Asks for as many lines of what comes next as
/// it reads.
template <typename Word, typename Isa, int kM, int kR>
HEARTH_HOST_DEVICE void dot_tile(const FloatTask& task, int64_t o, int64_t r0,
                                 LinePrefetch& prefetch, float (&dots)[kM][kR]) {
  constexpr int kLines = kM * 2 * Isa::kLanes * static_cast<int>(sizeof(Word)) / 64;
  using F = typename Isa::F;
  constexpr int kLanes = Isa::kLanes;
  const Word* w[kM];
  const float* x[kR];
  F acc[2][kM][kR];
  HEARTH_UNROLL
  for (int m = 0; m < kM; ++m)
    w[m] = reinterpret_cast<const Word*>(task.weight + static_cast<size_t>(o + m) * task.row_bytes);
  HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) x[r] = task.x + (r0 + r) * task.cols;
  HEARTH_UNROLL
  for (int m = 0; m < kM; ++m) HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) acc[0][m][r] = acc[1][m][r] = Isa::zero();

  // Which accumulators a vector goes to must be known to the compiler: else they lie in memory.
  const auto step = [&]<int kU>(int64_t k) HEARTH_INLINE_LAMBDA {
    F wide[kM];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) wide[m] = Isa::load_weights(w[m] + k);
    HEARTH_UNROLL
    for (int r = 0; r < kR; ++r) {
      const F values = Isa::load(x[r] + k);
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) acc[kU][m][r] = Isa::fmadd(wide[m], values, acc[kU][m][r]);
    }
  };
  const auto last_step = [&]<int kU>(int64_t k) HEARTH_INLINE_LAMBDA {
    const auto left = static_cast<size_t>(task.cols - k);
    alignas(64) float last_x[kR][kLanes] = {};
    HEARTH_UNROLL
    for (int r = 0; r < kR; ++r) memcpy(last_x[r], x[r] + k, left * sizeof(float));
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) {
      alignas(64) Word last_w[kLanes] = {};
      memcpy(last_w, w[m] + k, left * sizeof(Word));
      const F wide = Isa::load_weights(last_w);
      HEARTH_UNROLL
      for (int r = 0; r < kR; ++r)
        acc[kU][m][r] = Isa::fmadd(wide, Isa::load(last_x[r]), acc[kU][m][r]);
    }
  };
  int64_t k = 0;
  for (; k + 2 * kLanes <= task.cols; k += 2 * kLanes) {
    prefetch.lines(kLines);
    step.template operator()<0>(k);
    step.template operator()<1>(k + kLanes);
  }
  if (k + kLanes <= task.cols) {
    step.template operator()<0>(k);
    k += kLanes;
    if (k < task.cols) last_step.template operator()<1>(k);
  } else if (k < task.cols) {
    last_step.template operator()<0>(k);
  }
  HEARTH_UNROLL
  for (int m = 0; m < kM; ++m) HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) dots[m][r] = Isa::sum(Isa::add(acc[0][m][r], acc[1][m][r]));
}

template <typename Word, typename Isa, int kM, int kR>
void store_tile(const FloatTask& task, int64_t o, int64_t r0, LinePrefetch& prefetch) {
  float dots[kM][kR];
  dot_tile<Word, Isa, kM, kR>(task, o, r0, prefetch, dots);
  for (int r = 0; r < kR; ++r) {
    float* out = task.out + (r0 + r) * task.out_stride + o;
    for (int m = 0; m < kM; ++m) {
      float value = dots[m][r];
      if (task.bias != nullptr) value = value + task.bias[o + m];
      if (task.accumulate) value = value + out[m];
      out[m] = value;
    }
  }
}

/// All rows of x times weight rows [begin, end). A lone row of x takes weight rows one by one, one
/// long stream from memory. More rows take tiles of weights, which stay in L1 while x passes from
/// L2, and meanwhile ask for the next tile in file order.
template <typename Word, typename Isa>
void multiply_floats(const FloatTask& task, int64_t begin, int64_t end) {
  constexpr int kM = Isa::kFloatTileWeights;
  constexpr int kMost = Isa::kFloatTileRows;
  LinePrefetch prefetch;
  int64_t o = begin;
  if (task.rows > 1) {
    for (; o + kM <= end; o += kM) {
      const uint8_t* next = task.weight + static_cast<size_t>(o + kM) * task.row_bytes;
      prefetch.set(next, o + 2 * kM <= end ? next + kM * task.row_bytes : next);
      int64_t r = 0;
      while (r < task.rows) {
        const int left = task.rows - r < kMost ? static_cast<int>(task.rows - r) : kMost;
        dispatch_rows<kMost>(left, [&]<int kRows>() HEARTH_INLINE_LAMBDA {
          store_tile<Word, Isa, kM, kRows>(task, o, r, prefetch);
          r += kRows;
        });
      }
    }
  }
  LinePrefetch none;
  for (; o < end; ++o)
    for (int64_t r = 0; r < task.rows; ++r) store_tile<Word, Isa, 1, 1>(task, o, r, none);
}

}  // namespace hearth::kernels::simd
