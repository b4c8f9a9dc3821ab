#pragma once
// HalfMatmul's format for Q4_K and Q5_K. Included by .cu files after simt.h.

#include "kernels/cuda/lane_scaled.h"
#include "kernels/matmul/block_format.h"
#include "kernels/matmul/half_tile.h"

namespace hearth::kernels::HEARTH_SIMT {

/// A weight is d scale code - dmin min: codes times scales meet x as 16-bit floats, and minima,
/// which are integers below 64, the sums of x of their groups, each as two of these
/// (HalfRows::sum32). All are exact. So a chunk of 64 values is one chain of products, times d in
/// f32, and a block's minima are one product, times dmin, behind its last chunk.
template <typename Block>
struct ScaledFormat : BlockFormat<Block> {
  static constexpr int kSplitTiles = 2;
  static constexpr int kSums = 0;
  static constexpr bool kSumPairs = true;
  static constexpr float kUnit = 1.0F;
  static constexpr int kChunks = 4;  // of a block

  template <int kX, int kM, int kN>
  static HEARTH_KERNEL void consume(const HalfOperands<kM, kN>& operands, int first_group, int,
                                    int quad, float (&sums)[kM][kN][4]) {
    // Chunks whose loads fit the registers together.
    constexpr int kTogether = kX == 64 || Block::kType == DType::kQ5_K ? 1 : 2;
    HEARTH_NO_UNROLL
    for (int first = 0; first < kX / 64; first += kTogether) {
      const int of_block = first_group / 2 + first;
      RowHead heads[kM][2];
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) load_heads(operands.weight[m], of_block / 2, heads[m]);
      HEARTH_UNROLL
      for (int i = 0; i < kTogether; ++i)
        multiply(operands, heads, of_block + i, first + i, quad, sums);
    }
    if (first_group / 2 + kX / 64 == kChunks) take_minima(operands, quad, sums);
  }

  template <int kN>
  static HEARTH_KERNEL void consume_group(const HalfOperands<1, kN>& operands, int first_group, int,
                                          int quad, float (&sums)[kN][4]) {
    const int chunk = first_group / 2;
    RowHead heads[2];
    load_heads(operands.weight[0], chunk / 2, heads);
    uint32_t a[4][4];
    load_weights(operands.weight[0], heads, chunk, quad, a);
    const float d[2] = {heads[0].d, heads[1].d};
    add_batches<128>(a, operands.x, d, sums);
    if (chunk + 1 < kChunks) return;
    const Minima minima = load_minima(operands.weight[0], quad);
    const uint32_t of_min[1][4] = {{minima.a[0], minima.a[1], minima.a[2], minima.a[3]}};
    add_batches<32>(of_min, operands.sums, minima.minus_dmin, sums);
  }

 private:
  /// What the two chunks of half a block share, of a row.
  struct RowHead {
    uint32_t scales;
    float d;
  };
  struct Minima {
    uint32_t a[4];
    float minus_dmin[2];
  };

  static HEARTH_KERNEL void load_heads(const int (&rows)[2], int half, RowHead (&heads)[2]) {
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint8_t* block = simt::shared_memory() + rows[i];
      heads[i] = {scale_bytes(block, half), load_f16(block)};
    }
  }

  /// A lane's words of a for the four products of a chunk.
  static HEARTH_KERNEL void load_weights(const int (&rows)[2], const RowHead (&heads)[2], int chunk,
                                         int quad, uint32_t (&a)[4][4]) {
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const LaneChunk of_row =
          scaled_chunk<Block>(simt::shared_memory() + rows[i], heads[i].scales, chunk, quad);
      HEARTH_UNROLL
      for (int word = 0; word < 8; ++word)
        a[word / 2][word % 2 * 2 + i] = of_row.word[word / 4][word % 4];
    }
  }

  /// Values 2 g and 2 g + 1 of this product's k are group g's.
  static HEARTH_KERNEL Minima load_minima(const int (&rows)[2], int quad) {
    Minima out;
    HEARTH_UNROLL
    for (int i = 0; i < 2; ++i) {
      const uint8_t* block = simt::shared_memory() + rows[i];
      out.a[i] = twice_f16(min_bytes(block, 0), quad);
      out.a[2 + i] = twice_f16(min_bytes(block, 1), quad);
      out.minus_dmin[i] = -load_f16(block + 2);
    }
    return out;
  }

  static HEARTH_KERNEL void add_scaled(const float (&c)[4], const float (&scale)[2],
                                       float (&sums)[4]) {
    HEARTH_UNROLL
    for (int i = 0; i < 4; ++i) sums[i] = fmaf(c[i], scale[i / 2], sums[i]);
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void multiply(const HalfOperands<kM, kN>& operands,
                                     const RowHead (&heads)[kM][2], int chunk_of_block, int chunk,
                                     int quad, float (&sums)[kM][kN][4]) {
    uint32_t a[kM][4][4];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m)
      load_weights(operands.weight[m], heads[m], chunk_of_block, quad, a[m]);
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      uint32_t b[2][2][2];
      load_column(operands, n, 2 * chunk, b[0]);
      load_column(operands, n, 2 * chunk + 1, b[1]);
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) {
        float c[4];
        simt::mma_f16_first(c, a[m][0], b[0][0]);
        HEARTH_UNROLL
        for (int product = 1; product < 4; ++product)
          simt::mma_f16(c, a[m][product], b[product / 2][product % 2]);
        const float d[2] = {heads[m][0].d, heads[m][1].d};
        add_scaled(c, d, sums[m][n]);
      }
    }
  }

  template <int kM, int kN>
  static HEARTH_KERNEL void take_minima(const HalfOperands<kM, kN>& operands, int quad,
                                        float (&sums)[kM][kN][4]) {
    Minima minima[kM];
    HEARTH_UNROLL
    for (int m = 0; m < kM; ++m) minima[m] = load_minima(operands.weight[m], quad);
    HEARTH_UNROLL
    for (int n = 0; n < kN; ++n) {
      uint32_t words[4];  // the last two are the first ones again
      simt::load_matrices(words, simt::shared_memory() + operands.sum_pairs + n * 8 * 32);
      const uint32_t b[2] = {words[0], words[1]};
      HEARTH_UNROLL
      for (int m = 0; m < kM; ++m) {
        float c[4];
        simt::mma_f16_first(c, minima[m].a, b);
        add_scaled(c, minima[m].minus_dmin, sums[m][n]);
      }
    }
  }

  /// Products of a warpgroup with rows of x of kRowBytes, 64 of them at a time: two times as many
  /// do not fit the registers. While they are scaled, the other warpgroup's go on.
  template <int kRowBytes, int kProducts, int kN>
  static HEARTH_KERNEL void add_batches(const uint32_t (&a)[kProducts][4], int x,
                                        const float (&scale)[2], float (&sums)[kN][4]) {
    for (const auto& words : a) simt::hold(words);
    const uint64_t all = simt::operand_at<kRowBytes>(x);
    simt::multiply_in_batches<kN / 8, 1>(
        [&](int batch, float(&c)[8][4]) {
          const uint64_t b = simt::behind(all, batch * 64 * kRowBytes);
          simt::group_multiply_first(c, a[0], b);
          HEARTH_UNROLL
          for (int product = 1; product < kProducts; ++product)
            simt::group_multiply(c, a[product], simt::behind(b, product * 32));
        },
        [&](int n, const float(&c)[4]) { add_scaled(c, scale, sums[n]); });
  }
};

}  // namespace hearth::kernels::HEARTH_SIMT
