#pragma once
// The quantized matmul: weights unpacked into panels in L1, a chunk of 16 groups at a time, and
// multiplied with all rows of x before going on.

#include "kernels/matmul/line_prefetch.h"
#include "kernels/matmul/panel_by_rows.h"
#include "kernels/matmul/panel_legacy.h"
#include "kernels/matmul/panel_mxfp4.h"
#include "kernels/matmul/panel_scales.h"
#include "kernels/matmul/quantized_kernel.h"

namespace hearth::kernels::simd {

/// kPanels * kLanes rows of weights; the outputs of a panel are its lanes [first, end).
struct TilePanel {
  const uint8_t* weight;
  size_t stride;
  int64_t row;  // of lane 0
  int first;
  int end;
};

/// Fills a panel with `groups` groups of its rows, which begin at `first`.
template <typename Block, typename Isa>
HEARTH_HOST_DEVICE void fill_panel(const uint8_t* first, size_t stride, int groups,
                                   Panel<Isa>& panel, LinePrefetch& prefetch, int lines) {
  BlockRows<Block> rows(first, stride);
  if constexpr (kBlockSize<Block> == 256) {
    constexpr int kStep = kStepGroups<Block>;
    for (int g = 0; g < groups; g += 8) {
      prefetch.lines(8 * lines);
      load_scales(rows, panel, g);
      for (int i = 0; i < 8; i += kStep) load_codes(rows, i / kStep, panel, g + i);
      rows.skip_blocks(1);
    }
  } else {
    int g = 0;
    if constexpr (Isa::kWideLoads && sizeof(Block::d) <= 2) {
      for (; g + kWideBlocks<Block> <= groups; g += kWideBlocks<Block>) {
        prefetch.lines(kWideBlocks<Block> * lines);
        load_blocks32(rows, panel, g);
        rows.skip_blocks(kWideBlocks<Block>);
      }
    }
    for (; g < groups; ++g) {
      prefetch.lines(lines);
      load_block32(rows, panel, g);
      rows.skip_blocks(1);
    }
  }
}

template <typename Block, typename Isa>
requires kIsUnpackedByRow<Block> HEARTH_HOST_DEVICE void fill_panel(const uint8_t* first,
                                                                    size_t stride, int groups,
                                                                    Panel<Isa>& panel,
                                                                    LinePrefetch& prefetch,
                                                                    int lines) {
  for (int g = 0; g < groups; g += 8, first += sizeof(Block)) {
    prefetch.lines(8 * lines);
    load_block_by_rows<Block>(first, stride, panel, g);
  }
}

/// kRows rows of x against one chunk: codes where they lie, scales, and what their sums give.
template <typename Block, typename Isa, int kRows>
struct alignas(64) InputTile {
  const int8_t* q[kRows];
  float scale[kRows][kChunkGroups];
  int32_t correction[2][kRows][kChunkGroups];
  float sum[2][kRows][kChunkGroups];

  /// `at`: the first group, counted over all rows of x.
  HEARTH_HOST_DEVICE void set(int r, const Q8Rows& x, int64_t at, int groups) {
    q[r] = x.q + at * 32;
    alignas(64) int16_t sums[2 * kChunkGroups] = {};
    const auto copy = [&](int count) HEARTH_INLINE_LAMBDA {
      memcpy(scale[r], x.scale + at, static_cast<size_t>(count) * 4);
      memcpy(sums, x.sum16 + at * 2, static_cast<size_t>(count) * 4);
    };
    if (groups == kChunkGroups) {
      copy(kChunkGroups);  // of a size that the compiler knows: a few vectors
    } else {
      copy(groups);
    }
    for (int g = 0; g < kChunkGroups; g += Isa::kLanes) {
      const SumTerms<Block, Isa> terms(Isa::load_int(sums + 2 * g));
      HEARTH_UNROLL
      for (int h = 0; h < kForm<Block>.halves; ++h) {
        if constexpr (kOffset<Block, Isa> != 0)
          Isa::store_int(correction[h][r] + g, terms.correction[h]);
        if constexpr (kForm<Block>.has_min) Isa::store(sum[h][r] + g, terms.sum[h]);
      }
    }
  }
};

/// sum[r][p] (lanes: weight rows) += the term of group g, for kRows rows of x and all panels.
template <typename Block, typename Isa, int kRows>
HEARTH_HOST_DEVICE void multiply_group(const Panel<Isa>* panels,
                                       const InputTile<Block, Isa, kRows>& x, int g,
                                       typename Isa::F (&sum)[kRows][Isa::kPanels]) {
  using F = typename Isa::F;
  using I = typename Isa::I;
  constexpr Form kF = kForm<Block>;
  constexpr bool kSigned = kF.wide && Isa::kSignedWide;
  constexpr int kSteps = 8 / kF.halves;  // dot products of 4 values in a half, or in the group
  constexpr int kP = Isa::kPanels;
  I dot[kRows][kP][2];
  HEARTH_UNROLL
  for (int h = 0; h < kF.halves; ++h) {
    HEARTH_UNROLL
    for (int r = 0; r < kRows; ++r) HEARTH_UNROLL
    for (int p = 0; p < kP; ++p)
      dot[r][p][h] = kOffset<Block, Isa> != 0 ? Isa::set1(x.correction[h][r][g]) : Isa::zero_int();
    // Step s: four values of each row of x.
    const auto load_weights = [&](int s, I(&w)[kP]) HEARTH_INLINE_LAMBDA {
      HEARTH_UNROLL
      for (int p = 0; p < kP; ++p) w[p] = Isa::load_int(panels[p].q[8 * g + s]);
    };
    if constexpr (Isa::kIndexedDots) {
      HEARTH_UNROLL
      for (int s = h * kSteps; s < (h + 1) * kSteps; s += 4) {
        I values[kRows];
        HEARTH_UNROLL
        for (int r = 0; r < kRows; ++r) values[r] = Isa::load_int(x.q[r] + 32 * g + 4 * s);
        for_each_byte([&]<int kAt>() HEARTH_INLINE_LAMBDA {
          I w[kP];
          load_weights(s + kAt, w);
          HEARTH_UNROLL
          for (int r = 0; r < kRows; ++r) HEARTH_UNROLL
          for (int p = 0; p < kP; ++p)
            dot[r][p][h] = Isa::template dot_indexed<kAt>(dot[r][p][h], w[p], values[r]);
        });
      }
    } else {
      HEARTH_UNROLL
      for (int s = h * kSteps; s < (h + 1) * kSteps; ++s) {
        I w[kP];
        load_weights(s, w);
        HEARTH_UNROLL
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, x.q[r] + 32 * g + 4 * s, sizeof(four));
          const I values = Isa::set1(four);
          HEARTH_UNROLL
          for (int p = 0; p < kP; ++p)
            dot[r][p][h] = Isa::template dot_bytes<kSigned>(dot[r][p][h], w[p], values);
        }
      }
    }
  }
  HEARTH_UNROLL
  for (int p = 0; p < kP; ++p) {
    F scale[2];
    F min[2];
    HEARTH_UNROLL
    for (int h = 0; h < kF.halves; ++h) {
      scale[h] = Isa::load(panels[p].scale[h][g]);
      if constexpr (kF.has_min) min[h] = Isa::load(panels[p].min[h][g]);
    }
    HEARTH_UNROLL
    for (int r = 0; r < kRows; ++r) {
      F sums[2];
      if constexpr (kF.has_min) HEARTH_UNROLL
      for (int h = 0; h < kF.halves; ++h) sums[h] = Isa::set1(x.sum[h][r][g]);
      sum[r][p] = Isa::fmadd(term<Block, Isa>(dot[r][p], scale, min, sums),
                             Isa::set1(x.scale[r][g]), sum[r][p]);
    }
  }
}

/// acc[r][p] += one chunk's terms.
template <typename Block, typename Isa, int kRows>
HEARTH_HOST_DEVICE void multiply_chunk(const Panel<Isa>* panels,
                                       const InputTile<Block, Isa, kRows>& x, int groups,
                                       float (*acc)[Isa::kPanels][Isa::kLanes],
                                       LinePrefetch& prefetch, int lines) {
  typename Isa::F sum[kRows][Isa::kPanels];
  HEARTH_UNROLL
  for (int r = 0; r < kRows; ++r) HEARTH_UNROLL
  for (int p = 0; p < Isa::kPanels; ++p) sum[r][p] = Isa::load(acc[r][p]);
  for (int g = 0; g < groups; ++g) {
    prefetch.lines(lines);
    multiply_group<Block, Isa, kRows>(panels, x, g, sum);
  }
  HEARTH_UNROLL
  for (int r = 0; r < kRows; ++r) HEARTH_UNROLL
  for (int p = 0; p < Isa::kPanels; ++p) Isa::store(acc[r][p], sum[r][p]);
}

/// Rows of x that share one pass over the weights: their accumulators take 256 * 2 * 64 bytes.
inline constexpr int kPassRows = 256;

template <typename Isa>
struct PanelScratch {
  Panel<Isa> panels[Isa::kPanels];
  alignas(64) float acc[kPassRows][Isa::kPanels][Isa::kLanes];
};

/// Rows of x that are multiplied at once.
template <typename Block, typename Isa>
inline constexpr int kTileRows = kForm<Block>.halves == 2 ? Isa::kTileRowsOfHalves : Isa::kTileRows;

/// A chunk of all panels times `rows` rows of x from row r0 on, in tiles of rows.
template <typename Block, typename Isa>
void multiply_tiles(const QuantizedTask& task, int64_t r0, int rows, int64_t g0, int groups,
                    PanelScratch<Isa>& scratch, LinePrefetch& prefetch, int lines) {
  int r = 0;
  while (r < rows) {
    dispatch_rows<kTileRows<Block, Isa>>(rows - r, [&]<int kRows>() HEARTH_INLINE_LAMBDA {
      InputTile<Block, Isa, kRows> x;
      for (int i = 0; i < kRows; ++i)
        x.set(i, *task.x, (r0 + r + i) * (task.cols / 32) + g0, groups);
      multiply_chunk<Block, Isa, kRows>(scratch.panels, x, groups, scratch.acc + r, prefetch,
                                        lines);
      r += kRows;
    });
  }
}

/// How many lines each step of a chunk asks for, so that those of the next tile are spread evenly
/// over the time of this one. A group costs about as much to unpack as to multiply with three rows.
struct PrefetchRate {
  int in_fill;
  int in_multiply;

  /// `steps`: of a fill and of a multiplication, for each group of a row.
  PrefetchRate(double lines, double fill_steps, double multiply_steps, int rows) {
    const double share = 3.0 / (3.0 + rows);
    in_fill = static_cast<int>(lines * share / fill_steps) + 1;
    in_multiply = static_cast<int>(lines * (1.0 - share) / multiply_steps) + 1;
  }
};

/// The panels of the tile from row o on. The last panel of a slice that is not whole takes full
/// lanes too, the rows before it, whose outputs are not stored again.
template <typename Isa>
void place_panels(const QuantizedTask& task, int64_t o, int64_t end,
                  TilePanel (&panels)[Isa::kPanels]) {
  constexpr int kLanes = Isa::kLanes;
  for (int p = 0; p < Isa::kPanels; ++p) {
    const int64_t row = o + p * kLanes;
    const int64_t first = row < end - kLanes ? row : end - kLanes;
    panels[p] = {task.weight + static_cast<size_t>(first) * task.row_bytes, task.row_bytes, first,
                 static_cast<int>(row - first < kLanes ? row - first : kLanes), kLanes};
  }
}

/// One tile of weights times `rows` rows of x from r0 on.
template <typename Block, typename Isa>
void multiply_tile(const QuantizedTask& task, const TilePanel (&panels)[Isa::kPanels], int64_t r0,
                   int rows, PanelScratch<Isa>& scratch, LinePrefetch& prefetch,
                   const PrefetchRate& rate) {
  const int64_t row_groups = task.cols / 32;
  const auto block_at = [](int64_t g) {
    return static_cast<size_t>(g / (kBlockSize<Block> / 32)) * sizeof(Block);
  };
  memset(scratch.acc, 0, static_cast<size_t>(rows) * sizeof(scratch.acc[0]));
  for (int64_t g = 0; g < row_groups; g += kChunkGroups) {
    const int groups =
        static_cast<int>(row_groups - g < kChunkGroups ? row_groups - g : kChunkGroups);
    for (int p = 0; p < Isa::kPanels; ++p)
      fill_panel<Block>(panels[p].weight + block_at(g), panels[p].stride, groups, scratch.panels[p],
                        prefetch, rate.in_fill);
    multiply_tiles<Block, Isa>(task, r0, rows, g, groups, scratch, prefetch, rate.in_multiply);
  }
  for (int p = 0; p < Isa::kPanels; ++p)
    for (int r = 0; r < rows; ++r)
      finish<Isa>(task, Isa::load(scratch.acc[r][p]), r0 + r, panels[p].row, panels[p].first,
                  panels[p].end);
}

/// `rows` rows of x from r0 on (at most kPassRows) times weight rows [begin, end).
template <typename Block, typename Isa>
void multiply_rows(const QuantizedTask& task, int64_t r0, int rows, int64_t begin, int64_t end) {
  constexpr int kTile = Isa::kPanels * Isa::kLanes;
  PanelScratch<Isa> scratch;
  TilePanel panels[Isa::kPanels];
  LinePrefetch prefetch;
  const int64_t row_groups = task.cols / 32;
  const auto tile_bytes = static_cast<int64_t>(task.row_bytes) * kTile;
  const int tiles = (rows + kTileRows<Block, Isa> - 1) / kTileRows<Block, Isa>;
  const PrefetchRate rate(static_cast<double>(tile_bytes / 64) / static_cast<double>(row_groups),
                          Isa::kPanels, tiles, rows);
  if (end - begin < Isa::kLanes && end < Isa::kLanes) {
    // Fewer rows than lanes in all: each one in turn, in every lane.
    for (int64_t o = begin; o < end; ++o) {
      for (TilePanel& panel : panels)
        panel = {task.weight + static_cast<size_t>(o) * task.row_bytes, 0, o, 0, 0};
      panels[0].end = 1;
      multiply_tile<Block, Isa>(task, panels, r0, rows, scratch, prefetch, rate);
    }
    return;
  }
  const uint8_t* last = task.weight + static_cast<size_t>(end) * task.row_bytes;
  prefetch.set(task.weight + static_cast<size_t>(begin) * task.row_bytes, last);
  prefetch.lines(static_cast<int>(tile_bytes / 64));
  for (int64_t o = begin; o < end; o += kTile) {
    const uint8_t* next = task.weight + static_cast<size_t>(o + kTile) * task.row_bytes;
    prefetch.set(next, next + tile_bytes < last ? next + tile_bytes : last);
    place_panels<Isa>(task, o, end, panels);
    multiply_tile<Block, Isa>(task, panels, r0, rows, scratch, prefetch, rate);
  }
}

}  // namespace hearth::kernels::simd
