#pragma once
// The matmul of F32, F16 and BF16 weights over an instruction set (see quantized_kernel.h for Isa).
//
// Columns are cut into blocks of kBlockCols by their number alone. An output's block sum has
// kLanes lanes, vectors going to it in order, the last, partial one padded with zeros; block sums
// are added in order, and at the end the lanes are folded by one fixed tree. Tiles of several
// weight rows and rows of x only share loads.

#include <cstring>

#include "kernels/matmul/line_prefetch.h"
#include "kernels/matmul/quantized_kernel.h"

namespace hearth::kernels::simd {

/// The weights' element as Isa::load_weights takes it: the two 16-bit types differ by name only.
struct F16Word {
  uint16_t bits;
};
struct BF16Word {
  uint16_t bits;
};

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

/// A tile's weights and four rows of x stay in L1 while they are multiplied.
inline constexpr int64_t kBlockCols = 1024;

/// What asks for the weights that come next, `lines` for each two vectors of columns.
struct FloatPrefetch {
  LinePrefetch next;
  int lines = 0;
};

/// acc[m][r] = the sum of one block, `cols` columns from w[m] and x[r] on.
template <typename Word, typename Isa, int kM, int kR>
HEARTH_HOST_DEVICE void sum_block(const Word* const (&w)[kM], const float* const (&x)[kR],
                                  int64_t cols, FloatPrefetch& prefetch,
                                  typename Isa::F (&acc)[kM][kR]) {
  using F = typename Isa::F;
  constexpr int kLanes = Isa::kLanes;
  HEARTH_UNROLL
  for (int m = 0; m < kM; ++m) HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) acc[m][r] = Isa::zero();
  const auto step = [&](const Word* const(&from)[kM], const float* const(&values)[kR], int64_t k)
                        HEARTH_INLINE_LAMBDA {
                          F wide[kM];
                          HEARTH_UNROLL
                          for (int m = 0; m < kM; ++m) wide[m] = Isa::load_weights(from[m] + k);
                          HEARTH_UNROLL
                          for (int r = 0; r < kR; ++r) {
                            const F value = Isa::load(values[r] + k);
                            HEARTH_UNROLL
                            for (int m = 0; m < kM; ++m)
                              acc[m][r] = Isa::fmadd(wide[m], value, acc[m][r]);
                          }
                        };
  int64_t k = 0;
  for (; k + 2 * kLanes <= cols; k += 2 * kLanes) {
    prefetch.next.lines(prefetch.lines);
    step(w, x, k);
    step(w, x, k + kLanes);
  }
  if (k + kLanes <= cols) {
    step(w, x, k);
    k += kLanes;
  }
  if (k == cols) return;
  const auto left = static_cast<size_t>(cols - k);
  alignas(64) float last_x[kR][kLanes] = {};
  alignas(64) Word last_w[kM][kLanes] = {};
  const float* padded_x[kR];
  const Word* padded_w[kM];
  for (int r = 0; r < kR; ++r) {
    memcpy(last_x[r], x[r] + k, left * sizeof(float));
    padded_x[r] = last_x[r];
  }
  for (int m = 0; m < kM; ++m) {
    memcpy(last_w[m], w[m] + k, left * sizeof(Word));
    padded_w[m] = last_w[m];
  }
  step(padded_w, padded_x, 0);
}

/// Rows of x that share a pass over the weights: they stay in L2 from tile to tile.
inline constexpr int kFloatPassRows = 96;
inline constexpr int64_t kFloatPassBytes = 768 << 10;

/// Sums of a tile so far, [row of x][weight row].
template <typename Isa, int kM>
struct alignas(64) FloatSums {
  float sum[kFloatPassRows][kM][Isa::kLanes];
};

/// Adds columns [k, k + cols) of kM weight rows and kR rows of x to sums[r][m], or begins them.
template <typename Word, typename Isa, int kM, int kR>
void add_block(const FloatTask& task, int64_t o, int64_t r0, int64_t k, int64_t cols,
               FloatPrefetch& prefetch, float (*sums)[kM][Isa::kLanes]) {
  const Word* w[kM];
  const float* x[kR];
  HEARTH_UNROLL
  for (int m = 0; m < kM; ++m)
    w[m] =
        reinterpret_cast<const Word*>(task.weight + static_cast<size_t>(o + m) * task.row_bytes) +
        k;
  HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) x[r] = task.x + (r0 + r) * task.cols + k;
  typename Isa::F acc[kM][kR];
  sum_block<Word, Isa, kM, kR>(w, x, cols, prefetch, acc);
  HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) HEARTH_UNROLL
  for (int m = 0; m < kM; ++m)
    Isa::store(sums[r][m], k == 0 ? acc[m][r] : Isa::add(Isa::load(sums[r][m]), acc[m][r]));
}

template <typename Isa>
HEARTH_HOST_DEVICE void store_output(const FloatTask& task, int64_t o, int64_t r,
                                     typename Isa::F sum) {
  float* out = task.out + r * task.out_stride + o;
  float value = Isa::sum(sum);
  if (task.bias != nullptr) value = value + task.bias[o];
  if (task.accumulate) value = value + *out;
  *out = value;
}

/// kM weight rows from `o` on times `rows` rows of x from r0 on.
template <typename Word, typename Isa, int kM>
void multiply_float_tile(const FloatTask& task, int64_t o, int64_t r0, int rows,
                         FloatPrefetch& prefetch, FloatSums<Isa, kM>& sums) {
  constexpr int kMost = Isa::kFloatTileRows;
  const int tiles = (rows + kMost - 1) / kMost;
  const int at_once = (rows + tiles - 1) / tiles;  // 8 rows: 4 and 4, not 6 and 2
  // The lines of a tile are asked for over all the time of the one before: a core has no more than
  // some tens under way.
  constexpr int kTwoVectors = kM * 2 * Isa::kLanes * static_cast<int>(sizeof(Word));
  prefetch.lines = (kTwoVectors + 64 * tiles - 1) / (64 * tiles);
  for (int64_t k = 0; k < task.cols; k += kBlockCols) {
    const int64_t cols = task.cols - k < kBlockCols ? task.cols - k : kBlockCols;
    int r = 0;
    while (r < rows) {
      dispatch_rows<kMost>(
          rows - r < at_once ? rows - r : at_once, [&]<int kRows>() HEARTH_INLINE_LAMBDA {
            add_block<Word, Isa, kM, kRows>(task, o, r0 + r, k, cols, prefetch, sums.sum + r);
            r += kRows;
          });
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int m = 0; m < kM; ++m) store_output<Isa>(task, o + m, r0 + r, Isa::load(sums.sum[r][m]));
}

/// One row of x: the weight rows one by one, one long stream from memory. Block sums do not wait
/// for each other.
template <typename Word, typename Isa>
void multiply_float_row(const FloatTask& task, int64_t begin, int64_t end) {
  FloatPrefetch none;
  for (int64_t o = begin; o < end; ++o) {
    const auto* row =
        reinterpret_cast<const Word*>(task.weight + static_cast<size_t>(o) * task.row_bytes);
    typename Isa::F total = Isa::zero();
    for (int64_t k = 0; k < task.cols; k += kBlockCols) {
      const int64_t cols = task.cols - k < kBlockCols ? task.cols - k : kBlockCols;
      const Word* const w[1] = {row + k};
      const float* const x[1] = {task.x + k};
      typename Isa::F acc[1][1];
      sum_block<Word, Isa, 1, 1>(w, x, cols, none, acc);
      total = k == 0 ? acc[0][0] : Isa::add(total, acc[0][0]);
    }
    store_output<Isa>(task, o, 0, total);
  }
}

/// All rows of x times weight rows [begin, end). More rows than one take tiles of weights, which
/// stay in L1 while x passes from L2, and meanwhile ask for the next tile in file order.
template <typename Word, typename Isa>
void multiply_floats(const FloatTask& task, int64_t begin, int64_t end) {
  constexpr int kM = Isa::kFloatTileWeights;
  if (task.rows == 1) return multiply_float_row<Word, Isa>(task, begin, end);
  const int64_t fitting = kFloatPassBytes / (task.cols * static_cast<int64_t>(sizeof(float)));
  const int64_t tile_rows = Isa::kFloatTileRows;
  int64_t pass_rows = fitting / tile_rows * tile_rows;
  if (pass_rows < 4 * tile_rows) pass_rows = 4 * tile_rows;
  if (pass_rows > kFloatPassRows) pass_rows = kFloatPassRows;
  FloatSums<Isa, kM> sums;
  FloatSums<Isa, 1> last_sums;
  for (int64_t r0 = 0; r0 < task.rows; r0 += pass_rows) {
    const int rows = static_cast<int>(task.rows - r0 < pass_rows ? task.rows - r0 : pass_rows);
    FloatPrefetch prefetch;
    int64_t o = begin;
    for (; o + kM <= end; o += kM) {
      const uint8_t* next = task.weight + static_cast<size_t>(o + kM) * task.row_bytes;
      prefetch.next.set(next, o + 2 * kM <= end ? next + kM * task.row_bytes : next);
      multiply_float_tile<Word, Isa, kM>(task, o, r0, rows, prefetch, sums);
    }
    for (; o < end; ++o) multiply_float_tile<Word, Isa, 1>(task, o, r0, rows, prefetch, last_sums);
  }
}

}  // namespace hearth::kernels::simd
