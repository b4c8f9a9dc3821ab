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
  for (int m = 0; m < kM; ++m)
    w[m] = reinterpret_cast<const Word*>(task.weight + static_cast<size_t>(o + m) * task.row_bytes);
  for (int r = 0; r < kR; ++r) x[r] = task.x + (r0 + r) * task.cols;
  for (int m = 0; m < kM; ++m)
    for (int r = 0; r < kR; ++r) acc[0][m][r] = acc[1][m][r] = Isa::zero();

  const auto step = [&](int u, int64_t k) {
    F wide[kM];
    for (int m = 0; m < kM; ++m) wide[m] = Isa::load_weights(w[m] + k);
    for (int r = 0; r < kR; ++r) {
      const F values = Isa::load(x[r] + k);
      for (int m = 0; m < kM; ++m) acc[u][m][r] = Isa::fmadd(wide[m], values, acc[u][m][r]);
    }
  };
  int64_t k = 0;
  for (; k + 2 * kLanes <= task.cols; k += 2 * kLanes) {
    prefetch.lines(kLines);
    step(0, k);
    step(1, k + kLanes);
  }
  int u = 0;
  if (k + kLanes <= task.cols) {
    step(0, k);
    k += kLanes;
    u = 1;
  }
  if (k < task.cols) {
    const auto left = static_cast<size_t>(task.cols - k);
    for (int m = 0; m < kM; ++m) {
      alignas(64) Word last_w[kLanes] = {};
      memcpy(last_w, w[m] + k, left * sizeof(Word));
      const F wide = Isa::load_weights(last_w);
      for (int r = 0; r < kR; ++r) {
        alignas(64) float last_x[kLanes] = {};
        memcpy(last_x, x[r] + k, left * sizeof(float));
        F& sum = u == 0 ? acc[0][m][r] : acc[1][m][r];
        sum = Isa::fmadd(wide, Isa::load(last_x), sum);
      }
    }
  }
  for (int m = 0; m < kM; ++m)
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
