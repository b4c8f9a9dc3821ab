#pragma once
// The quantized matmul for several rows (see quantized_kernel.h): panels of unpacked weights.

#include "kernels/matmul/quantized_kernel.h"

namespace hearth::kernels::simd {

/// One chunk of kLanes weight rows, lanes being rows: 8 KiB of codes for 16 lanes.
template <typename Isa>
struct alignas(64) Panel {
  uint8_t q[kChunkValues / 4][Isa::kLanes][4];  // four consecutive values of each row
  float scale[2][kChunkGroups][Isa::kLanes];
  float min[2][kChunkGroups][Isa::kLanes];
};

/// Transposes kLanes rows of `words` 32-bit words; row i begins at `first + i * stride` bytes.
template <typename Isa>
HEARTH_HOST_DEVICE void transpose_words(const void* first, size_t stride, int words, void* out) {
  for (int w = 0; w < words; w += Isa::kLanes) {
    typename Isa::I v[Isa::kLanes];
    for (int i = 0; i < Isa::kLanes; ++i)
      v[i] = Isa::load_int(static_cast<const uint8_t*>(first) + i * stride + w * 4);
    Isa::transpose(v);
    for (int i = 0; i < Isa::kLanes; ++i)
      Isa::store_int(static_cast<uint8_t*>(out) + (w + i) * Isa::kLanes * 4, v[i]);
  }
}

/// Fills a panel from `tile` weight rows (the last stands in for missing ones), `groups` groups
/// from group `g0` on.
template <typename Block, typename Isa>
void fill_panel(const QuantizedTask& task, int64_t o, int tile, int64_t g0, int groups,
                Chunk* chunks, Panel<Isa>& panel) {
  constexpr Form kF = kForm<Block>;
  for (int i = 0; i < Isa::kLanes; ++i) {
    const int64_t row = o + (i < tile ? i : tile - 1);
    const auto* blocks =
        reinterpret_cast<const Block*>(task.weight + static_cast<size_t>(row) * task.row_bytes) +
        g0 / (kBlockSize<Block> / 32);
    if (groups == kChunkGroups) {
      unpack_chunk<Isa>(blocks, kChunkGroups, chunks[i]);
    } else {
      unpack_chunk<Isa>(blocks, groups, chunks[i]);
    }
  }
  transpose_words<Isa>(chunks[0].q, sizeof(Chunk), kChunkValues / 4, panel.q);
  for (int h = 0; h < kF.halves; ++h) {
    transpose_words<Isa>(chunks[0].scale[h], sizeof(Chunk), kChunkGroups, panel.scale[h]);
    if constexpr (kF.has_min)
      transpose_words<Isa>(chunks[0].min[h], sizeof(Chunk), kChunkGroups, panel.min[h]);
  }
}

/// A row of x against one chunk: pointers, and what its sums give, per group.
template <typename Block, typename Isa>
struct alignas(64) RowChunk {
  const int8_t* q;
  const float* scale;
  int32_t correction[2][kChunkGroups];
  float sum[2][kChunkGroups];

  HEARTH_HOST_DEVICE void set(const Q8Rows& x, int64_t at, int groups) {
    q = x.q + at * 32;
    scale = x.scale + at;
    alignas(64) int16_t sums[2 * kChunkGroups] = {};
    memcpy(sums, x.sum16 + at * 2, static_cast<size_t>(groups) * 4);
    for (int g = 0; g < kChunkGroups; g += Isa::kLanes) {
      const SumTerms<Block, Isa> terms(Isa::load_int(sums + 2 * g));
      for (int h = 0; h < kForm<Block>.halves; ++h) {
        if constexpr (kOffset<Block, Isa> != 0)
          Isa::store_int(correction[h] + g, terms.correction[h]);
        if constexpr (kForm<Block>.has_min) Isa::store(sum[h] + g, terms.sum[h]);
      }
    }
  }
};

/// acc[r] (lanes: weight rows) += one chunk's terms, for kRows rows of x.
template <typename Block, typename Isa, int kRows>
HEARTH_HOST_DEVICE void multiply_chunk(const Panel<Isa>& panel, const RowChunk<Block, Isa>* rows,
                                       int groups, float* acc) {
  constexpr Form kF = kForm<Block>;
  constexpr bool kSigned = kF.wide && Isa::kSignedWide;
  constexpr int kSteps = 8 / kF.halves;  // dot products of 4 values in a half, or in the group
  typename Isa::F sum[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = Isa::load(acc + r * Isa::kLanes);
  for (int g = 0; g < groups; ++g) {
    typename Isa::I dot[kRows][2];
    for (int h = 0; h < kF.halves; ++h) {
      for (int r = 0; r < kRows; ++r)
        dot[r][h] =
            kOffset<Block, Isa> != 0 ? Isa::set1(rows[r].correction[h][g]) : Isa::zero_int();
      for (int s = h * kSteps; s < (h + 1) * kSteps; ++s) {
        const typename Isa::I w = Isa::load_int(panel.q[8 * g + s]);
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, rows[r].q + 32 * g + 4 * s, sizeof(four));
          dot[r][h] = Isa::template dot_bytes<kSigned>(dot[r][h], w, Isa::set1(four));
        }
      }
    }
    typename Isa::F scale[2];
    typename Isa::F min[2];
    for (int h = 0; h < kF.halves; ++h) {
      scale[h] = Isa::load(panel.scale[h][g]);
      if constexpr (kF.has_min) min[h] = Isa::load(panel.min[h][g]);
    }
    for (int r = 0; r < kRows; ++r) {
      typename Isa::F sums[2];
      if constexpr (kF.has_min)
        for (int h = 0; h < kF.halves; ++h) sums[h] = Isa::set1(rows[r].sum[h][g]);
      sum[r] = Isa::fmadd(term<Block, Isa>(dot[r], scale, min, sums), Isa::set1(rows[r].scale[g]),
                          sum[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) Isa::store(acc + r * Isa::kLanes, sum[r]);
}

/// Rows of x that share one pass over the weights: their accumulators take 256 * 2 * 64 bytes.
inline constexpr int kPassRows = 256;
/// Panels filled together: rows of x come from L1 for the second one.
inline constexpr int kPanels = 2;

template <typename Isa>
struct PanelScratch {
  Chunk chunks[Isa::kLanes];
  Panel<Isa> panels[kPanels];
  alignas(64) float acc[kPanels][kPassRows][Isa::kLanes];
};

/// Rows [r, rows) of x times one chunk of the panels: kRows at a time, the rest in halved tiles.
template <typename Block, typename Isa, int kRows>
void multiply_panels(const QuantizedTask& task, int64_t r0, int r, int rows, int panels, int64_t g0,
                     int groups, PanelScratch<Isa>& scratch) {
  RowChunk<Block, Isa> tile[kRows];
  for (; r + kRows <= rows; r += kRows) {
    for (int i = 0; i < kRows; ++i)
      tile[i].set(*task.x, (r0 + r + i) * (task.cols / 32) + g0, groups);
    for (int p = 0; p < panels; ++p)
      multiply_chunk<Block, Isa, kRows>(scratch.panels[p], tile, groups, scratch.acc[p][r]);
  }
  if constexpr (kRows > 1) {
    if (r < rows)
      multiply_panels<Block, Isa, kRows / 2>(task, r0, r, rows, panels, g0, groups, scratch);
  }
}

/// `rows` rows of x from r0 on (at most kPassRows) times weight rows [begin, end).
template <typename Block, typename Isa>
void multiply_rows(const QuantizedTask& task, int64_t r0, int rows, int64_t begin, int64_t end) {
  constexpr int kLanes = Isa::kLanes;
  PanelScratch<Isa> scratch;
  memset(scratch.chunks, 0, sizeof(scratch.chunks));
  const int64_t row_groups = task.cols / 32;
  for (int64_t o = begin; o < end; o += kPanels * kLanes) {
    const int64_t left = end - o;
    const auto panels =
        static_cast<int>(left < kPanels * kLanes ? (left + kLanes - 1) / kLanes : kPanels);
    const auto tile = [&](int p) {
      return static_cast<int>(left - p * kLanes < kLanes ? left - p * kLanes : kLanes);
    };
    for (int p = 0; p < panels; ++p)
      memset(scratch.acc[p], 0, static_cast<size_t>(rows) * sizeof(scratch.acc[p][0]));
    for (int64_t g = 0; g < row_groups; g += kChunkGroups) {
      const int groups =
          static_cast<int>(row_groups - g < kChunkGroups ? row_groups - g : kChunkGroups);
      for (int p = 0; p < panels; ++p)
        fill_panel<Block, Isa>(task, o + p * kLanes, tile(p), g, groups, scratch.chunks,
                               scratch.panels[p]);
      multiply_panels<Block, Isa, Isa::kTileRows>(task, r0, 0, rows, panels, g, groups, scratch);
    }
    for (int p = 0; p < panels; ++p)
      for (int r = 0; r < rows; ++r)
        finish<Isa>(task, Isa::load(scratch.acc[p][r]), r0 + r, o + p * kLanes, tile(p));
  }
}

}  // namespace hearth::kernels::simd
