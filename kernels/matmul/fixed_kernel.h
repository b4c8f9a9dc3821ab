#pragma once
// The matmul of F16 and BF16 weights in fixed point, for instruction sets whose dot products of
// int16 pairs are twice as fast as f32 multiply-adds.
//
// A row is cut into blocks of kFixedBlock columns. Within one, weights and inputs are integers of
// at most kFixedMost, scaled by the largest magnitude among them. A block's products add up in the
// kLanes int32 of a vector without overflow, exactly; then each lane is scaled in f32 and added to
// the blocks before it, in order, and at the end the lanes are folded by one fixed tree. So an
// output depends on its weights and its row alone.
//
// A value is off by at most 2^-13.5 of the largest of its block. Rounding weights and inputs to
// bf16, the other way to products of this speed, would be off by up to 2^-9 of each value.

#include <cstdint>
#include <cstring>

#include "kernels/matmul/float_kernel.h"

namespace hearth::kernels::simd {

inline constexpr int64_t kFixedBlock = 1024;
inline constexpr int kFixedMost = 5792;
static_assert(int64_t{kFixedMost} * kFixedMost * (kFixedBlock / 16) <= INT32_MAX,
              "a lane of 16 holds the products of a block");
/// Columns of a step: a vector of int16 pairs, weights and inputs alike in the order of
/// Isa::round_to_int16.
template <typename Isa>
inline constexpr int kStepCols = 2 * Isa::kLanes;

/// The largest magnitude of a block of words, as bits; those of padding are zeros.
template <typename Word, typename Isa>
HEARTH_HOST_DEVICE uint16_t largest_magnitude(const Word* w, int64_t cols) {
  const typename Isa::I magnitude = Isa::set1(0x7FFF7FFF);
  typename Isa::I most[2] = {Isa::zero_int(), Isa::zero_int()};
  const auto step = [&](int64_t k, int i) HEARTH_INLINE_LAMBDA {
    most[i] = Isa::max_words(most[i], Isa::and_bits(Isa::load_int(w + k), magnitude));
  };
  int64_t k = 0;
  for (; k + 2 * kStepCols<Isa> <= cols; k += 2 * kStepCols<Isa>) {
    step(k, 0);
    step(k + kStepCols<Isa>, 1);
  }
  if (k < cols) step(k, 0);
  return Isa::largest_word(Isa::max_words(most[0], most[1]));
}

HEARTH_HOST_DEVICE float to_f32(F16Word word) { return f16_to_f32(word.bits); }
HEARTH_HOST_DEVICE float to_f32(BF16Word word) { return bf16_to_f32(word.bits); }

/// Between the values of a block and their integers.
struct FixedScale {
  float to_int;
  float from_int;

  /// `largest`: the block's largest magnitude. Without a finite one all products are NaN; below
  /// 2^-113 they are zeros.
  HEARTH_HOST_DEVICE explicit FixedScale(float largest) {
    constexpr float kSmallestNormal = 0x1p-126F;
    const float scale = largest / static_cast<float>(kFixedMost);
    const bool finite = float_to_bits(scale) < 0x7F800000U;
    const bool usable = finite && scale >= kSmallestNormal;
    to_int = usable ? static_cast<float>(kFixedMost) / largest : 0.0F;
    from_int = usable || !finite ? scale : 0.0F;
  }
};

/// Weights of one row's block as integers; `cols` is a whole number of steps.
template <typename Word, typename Isa>
HEARTH_HOST_DEVICE float fix_steps(const Word* w, int64_t cols, int16_t* fixed, LinePrefetch& next,
                                   int lines) {
  const FixedScale scale(to_f32(Word{largest_magnitude<Word, Isa>(w, cols)}));
  const typename Isa::F to_int = Isa::set1(scale.to_int);
  for (int64_t k = 0; k < cols; k += kStepCols<Isa>) {
    next.lines(lines);
    Isa::store_int(fixed + k,
                   Isa::round_to_int16(Isa::mul(Isa::load_weights(w + k), to_int),
                                       Isa::mul(Isa::load_weights(w + k + Isa::kLanes), to_int)));
  }
  return scale.from_int;
}

/// The same for any number of columns up to kFixedBlock; the last step is padded with zeros.
template <typename Word, typename Isa>
HEARTH_HOST_DEVICE float fix_weights(const Word* w, int64_t cols, int16_t* fixed,
                                     LinePrefetch& next, int lines) {
  if (cols % kStepCols<Isa> == 0) return fix_steps<Word, Isa>(w, cols, fixed, next, lines);
  alignas(64) Word padded[kFixedBlock] = {};
  memcpy(padded, w, static_cast<size_t>(cols) * sizeof(Word));
  const int64_t steps = (cols + kStepCols<Isa> - 1) / kStepCols<Isa>;
  return fix_steps<Word, Isa>(padded, steps * kStepCols<Isa>, fixed, next, lines);
}

/// Rows of x that share a pass over the weights: as integers they stay in L2.
inline constexpr int kFixedPassRows = 192;
inline constexpr int64_t kFixedPassValues = 384 << 10;
/// Wider rows of weights are multiplied as floats.
inline constexpr int64_t kMostFixedCols = kFixedPassValues / 4;

/// So few rows take the weight rows one by one.
inline constexpr int kFixedFewRows = 4;

HEARTH_HOST_DEVICE int64_t fixed_stride(int64_t cols) { return (cols + 63) / 64 * 64; }

/// Some rows of x as integers.
struct alignas(64) FixedInput {
  int16_t q[kFixedPassValues];                                // [rows, fixed_stride(cols)]
  float scale[kFixedPassRows][kMostFixedCols / kFixedBlock];  // by block
};

/// One block of a row of x; the last step is padded with zeros. Returns the scale.
template <typename Isa>
HEARTH_HOST_DEVICE float fix_block_of_input(const float* x, int64_t cols, int16_t* q) {
  const FixedScale scale(Isa::largest_float(x, cols));
  const typename Isa::F to_int = Isa::set1(scale.to_int);
  const auto step = [&](const float* from, int64_t k) HEARTH_INLINE_LAMBDA {
    Isa::store_int(q + k, Isa::round_to_int16(Isa::mul(Isa::load(from), to_int),
                                              Isa::mul(Isa::load(from + Isa::kLanes), to_int)));
  };
  int64_t k = 0;
  for (; k + kStepCols<Isa> <= cols; k += kStepCols<Isa>) step(x + k, k);
  if (k < cols) {
    alignas(64) float last[kStepCols<Isa>] = {};
    memcpy(last, x + k, static_cast<size_t>(cols - k) * sizeof(float));
    step(last, k);
  }
  return scale.from_int;
}

template <typename Isa>
void fix_input(const FloatTask& task, int64_t r0, int rows, FixedInput& fixed) {
  for (int r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < task.cols; k += kFixedBlock) {
      const int64_t cols = task.cols - k < kFixedBlock ? task.cols - k : kFixedBlock;
      fixed.scale[r][k / kFixedBlock] = fix_block_of_input<Isa>(
          task.x + (r0 + r) * task.cols + k, cols, fixed.q + r * fixed_stride(task.cols) + k);
    }
  }
}

/// What is multiplied at once: rows of weights and of x.
template <int kM, int kR>
struct FixedTile {
  static constexpr int kWeights = kM;
  static constexpr int kRows = kR;
};

/// What asks for weights while others are multiplied: lines for each step of a fill and of
/// products.
struct FixedPrefetch {
  LinePrefetch next;
  int in_fill;
  int in_multiply;
};

/// Integers of kM weight rows, and what their products are scaled with.
template <int kM>
struct alignas(64) FixedWeights {
  int16_t q[kM][kFixedBlock];
  float scale[kM];
};

/// Sums of a tile so far, [row of x][weight row].
template <typename Isa, int kM>
struct alignas(64) FixedSums {
  float sum[kFixedPassRows][kM][Isa::kLanes];
};

/// The products of one weight row's block with one row of x, in four sums, so that they do not wait
/// for each other.
template <typename Isa>
HEARTH_HOST_DEVICE typename Isa::I dot_block_of_one(const int16_t* w, const int16_t* x,
                                                    int64_t steps) {
  constexpr int64_t kStep = kStepCols<Isa>;
  typename Isa::I acc[4] = {Isa::zero_int(), Isa::zero_int(), Isa::zero_int(), Isa::zero_int()};
  int64_t i = 0;
  for (; i + 4 <= steps; i += 4) {
    HEARTH_UNROLL
    for (int c = 0; c < 4; ++c)
      acc[c] = Isa::dot16(acc[c], Isa::load_int(w + (i + c) * kStep),
                          Isa::load_int(x + (i + c) * kStep));
  }
  for (; i < steps; ++i)
    acc[0] = Isa::dot16(acc[0], Isa::load_int(w + i * kStep), Isa::load_int(x + i * kStep));
  return Isa::add_int(Isa::add_int(acc[0], acc[1]), Isa::add_int(acc[2], acc[3]));
}

/// acc[m][r] = the products of one block, `steps` steps.
template <typename Isa, int kM, int kR>
HEARTH_HOST_DEVICE void dot_block(const FixedWeights<kM>& w, const int16_t* x, int64_t stride,
                                  int64_t steps, FixedPrefetch& prefetch,
                                  typename Isa::I (&acc)[kM][kR]) {
  using I = typename Isa::I;
  HEARTH_UNROLL
  for (int m = 0; m < kM; ++m) HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) acc[m][r] = Isa::zero_int();
  for (int64_t k = 0; k < steps * kStepCols<Isa>; k += kStepCols<Isa>) {
    prefetch.next.lines(prefetch.in_multiply);
    I values[kR];
    HEARTH_UNROLL
    for (int r = 0; r < kR; ++r) values[r] = Isa::load_int(x + r * stride + k);
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) {
      const I weights = Isa::load_int(w.q[m] + k);
      HEARTH_UNROLL
      for (int r = 0; r < kR; ++r) Isa::add_dot16(acc[m][r], weights, values[r]);
    }
  }
}

/// The sum so far and one block.
template <typename Isa>
HEARTH_HOST_DEVICE typename Isa::F scaled(typename Isa::I block, float scale, bool first,
                                          typename Isa::F sum) {
  const typename Isa::F product = Isa::to_float(block);
  return first ? Isa::mul(product, Isa::set1(scale)) : Isa::fmadd(product, Isa::set1(scale), sum);
}

/// Adds one block, `steps` steps, of kM weight rows and kR rows of x to sums[r][m], or begins them.
template <typename Isa, int kM, int kR>
void add_fixed_block(const FixedWeights<kM>& w, const int16_t* x, int64_t stride,
                     const float (&scale)[kR], int64_t steps, bool first, FixedPrefetch& prefetch,
                     float (*sums)[kM][Isa::kLanes]) {
  typename Isa::I acc[kM][kR];
  if constexpr (kM * kR == 1) {
    acc[0][0] = dot_block_of_one<Isa>(w.q[0], x, steps);
  } else {
    dot_block<Isa, kM, kR>(w, x, stride, steps, prefetch, acc);
  }
  HEARTH_UNROLL
  for (int r = 0; r < kR; ++r) HEARTH_UNROLL
  for (int m = 0; m < kM; ++m) {
    const typename Isa::F before = first ? Isa::zero() : Isa::load(sums[r][m]);
    Isa::store(sums[r][m], scaled<Isa>(acc[m][r], w.scale[m] * scale[r], first, before));
  }
}

/// kM weight rows from `o` on times `rows` rows of x, kMost at a time, which are r0 … of the task.
template <typename Word, typename Isa, int kM, int kMost>
void multiply_fixed_tile(const FloatTask& task, int64_t o, int64_t r0, int rows,
                         const FixedInput& x, FixedPrefetch& prefetch, FixedSums<Isa, kM>& sums) {
  const int tiles = (rows + kMost - 1) / kMost;
  const int at_once = (rows + tiles - 1) / tiles;
  const int64_t stride = fixed_stride(task.cols);
  FixedWeights<kM> w;
  for (int64_t k = 0; k < task.cols; k += kFixedBlock) {
    const int64_t cols = task.cols - k < kFixedBlock ? task.cols - k : kFixedBlock;
    const int64_t steps = (cols + kStepCols<Isa> - 1) / kStepCols<Isa>;
    for (int m = 0; m < kM; ++m) {
      const auto* row =
          reinterpret_cast<const Word*>(task.weight + static_cast<size_t>(o + m) * task.row_bytes);
      w.scale[m] = fix_weights<Word, Isa>(row + k, cols, w.q[m], prefetch.next, prefetch.in_fill);
    }
    int r = 0;
    while (r < rows) {
      dispatch_rows<kMost>(rows - r < at_once ? rows - r : at_once,
                           [&]<int kRows>() HEARTH_INLINE_LAMBDA {
                             float scale[kRows];
                             for (int i = 0; i < kRows; ++i)
                               scale[i] = x.scale[r + i][k / kFixedBlock];
                             add_fixed_block<Isa, kM, kRows>(w, x.q + r * stride + k, stride, scale,
                                                             steps, k == 0, prefetch, sums.sum + r);
                             r += kRows;
                           });
    }
  }
  for (int r = 0; r < rows; ++r)
    for (int m = 0; m < kM; ++m) store_output<Isa>(task, o + m, r0 + r, Isa::load(sums.sum[r][m]));
}

/// `rows` rows of x, which are r0 … of the task, in whole tiles of kM weight rows. Returns the
/// first weight row that is left.
template <typename Word, typename Isa, int kM, int kMost>
int64_t multiply_fixed_tiles(const FloatTask& task, int64_t r0, int rows, const FixedInput& x,
                             int64_t begin, int64_t end) {
  // The lines of a tile are asked for over all the time of the one before: a core has no more than
  // some tens under way.
  const int tiles = (rows + kMost - 1) / kMost;
  FixedPrefetch prefetch{.next = {}, .in_fill = tiles <= 2 ? 1 : 0, .in_multiply = kM / tiles + 1};
  FixedSums<Isa, kM> sums;
  int64_t o = begin;
  for (; o + kM <= end; o += kM) {
    const uint8_t* next = task.weight + static_cast<size_t>(o + kM) * task.row_bytes;
    prefetch.next.set(next, o + 2 * kM <= end ? next + kM * task.row_bytes : next);
    multiply_fixed_tile<Word, Isa, kM, kMost>(task, o, r0, rows, x, prefetch, sums);
  }
  return o;
}

/// Few rows of x, which are r0 … of the task: the weight rows one by one, one long stream from
/// memory.
template <typename Word, typename Isa>
void multiply_fixed_rows(const FloatTask& task, int64_t r0, int rows, const FixedInput& x,
                         int64_t begin, int64_t end) {
  // A block is walked twice, so that the core by itself does not look far enough ahead.
  constexpr int64_t kAhead = 4096;
  const uint8_t* first = task.weight + static_cast<size_t>(begin) * task.row_bytes;
  FixedPrefetch prefetch{.next = {}, .in_fill = 1, .in_multiply = 0};
  prefetch.next.set(first + kAhead, task.weight + static_cast<size_t>(end) * task.row_bytes);
  FixedSums<Isa, 1> sums;
  for (int64_t o = begin; o < end; ++o)
    multiply_fixed_tile<Word, Isa, 1, kFixedFewRows>(task, o, r0, rows, x, prefetch, sums);
}

/// All rows of x times weight rows [begin, end).
template <typename Word, typename Isa>
void multiply_fixed(const FloatTask& task, int64_t begin, int64_t end) {
  using Tile = typename Isa::FixedTile;
  const int64_t fitting = kFixedPassValues / fixed_stride(task.cols);
  const int64_t pass_rows = fitting < kFixedPassRows ? fitting : kFixedPassRows;
  FixedInput x;
  for (int64_t r0 = 0; r0 < task.rows; r0 += pass_rows) {
    const int rows = static_cast<int>(task.rows - r0 < pass_rows ? task.rows - r0 : pass_rows);
    fix_input<Isa>(task, r0, rows, x);
    int64_t o = begin;
    if (rows > kFixedFewRows)
      o = multiply_fixed_tiles<Word, Isa, Tile::kWeights, Tile::kRows>(task, r0, rows, x, o, end);
    multiply_fixed_rows<Word, Isa>(task, r0, rows, x, o, end);
  }
}

}  // namespace hearth::kernels::simd
