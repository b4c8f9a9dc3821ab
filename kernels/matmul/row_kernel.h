#pragma once
// The quantized matmul for one row of x or few: walks the weights in file order, one row after the
// other, as one long stream from memory; lanes are groups. The terms of a tile of kLanes weight
// rows are kept, then transposed and added up in group order, so that the bits are those of
// panel_kernel.h.

#include "kernels/matmul/panel_by_rows.h"
#include "kernels/matmul/quantized_kernel.h"
#include "kernels/matmul/row_chunk.h"

namespace hearth::kernels::simd {

/// Types for which this beats panels of one row, as measured in whole models: with AVX-512 nearly
/// all, else those whose codes fill most of their bytes; and those that panels unpack row by row
/// anyway. Formats before GGUF have panels alone.
template <typename Block, typename Isa>
inline constexpr bool kHasRowKernel = [] {
  switch (Block::kType) {
    case DType::kQ8_0:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kQ6_K:
      return true;
    case DType::kQ2_K:
    case DType::kQ3_K:
      return false;
    default:
      break;
  }
  if (static_cast<uint32_t>(Block::kType) >= kFirstForeignType) return false;
  return Isa::kWideLoads || kIsUnpackedByRow<Block>;
}();

/// The most rows of x that the row kernel takes. Weights that are bytes already cost it nothing to
/// unpack; others are unpacked faster into panels.
template <typename Block, typename Isa>
inline constexpr int kRowKernelRows = Isa::kWideLoads ? (Block::kType == DType::kQ8_0 ? 4 : 1) : 1;

/// 16 groups of a row of x, padded with zeros: stands in for the row's last, partial chunk.
struct alignas(64) PaddedChunk {
  int8_t q[kChunkValues];
  int16_t sum16[2 * kChunkGroups];

  void fill(const int8_t* row_q, const int16_t* row_sum16, int groups) {
    memset(this, 0, sizeof(*this));
    memcpy(q, row_q, static_cast<size_t>(groups) * 32);
    memcpy(sum16, row_sum16, static_cast<size_t>(groups) * 4);
  }
};

/// Terms of one chunk of weights against one chunk of x, in group order.
template <typename Block, typename Isa>
HEARTH_HOST_DEVICE void chunk_terms(const Chunk& chunk, const int8_t* q, const int16_t* sum16,
                                    float* terms) {
  constexpr Form kF = kForm<Block>;
  constexpr bool kSigned = kF.wide && Isa::kSignedWide;
  for (int g = 0; g < kChunkGroups; g += Isa::kLanes) {
    typename Isa::I dot[2];
    Isa::template group_dots<kSigned, kF.halves>(chunk.q + 32 * g, q + 32 * g, dot);
    const SumTerms<Block, Isa> sums(Isa::load_int(sum16 + 2 * g));
    typename Isa::F scale[2];
    typename Isa::F min[2];
    for (int h = 0; h < kF.halves; ++h) {
      if constexpr (kOffset<Block, Isa> != 0) dot[h] = Isa::add_int(dot[h], sums.correction[h]);
      scale[h] = Isa::load(chunk.scale[h] + g);
      if constexpr (kF.has_min) min[h] = Isa::load(chunk.min[h] + g);
    }
    Isa::store(terms + g, term<Block, Isa>(dot, scale, min, sums.sum));
  }
}

/// Chunks whose terms dot_row keeps before it adds them up: 16 * 16 groups * kLanes rows * 4 bytes
/// are 16 KiB for each row of x, which stays in L1.
inline constexpr int kSegmentChunks = 16;
inline constexpr int kSegmentGroups = kSegmentChunks * kChunkGroups;

/// acc[r] += terms * x.scale over `groups` groups, in order. terms[r][i] are weight row i's.
template <typename Isa, int kRows>
HEARTH_HOST_DEVICE void add_terms(const float (&terms)[kRows][Isa::kLanes][kSegmentGroups],
                                  const float* const (&x_scale)[kRows], int groups,
                                  typename Isa::F (&acc)[kRows]) {
  for (int r = 0; r < kRows; ++r) {
    for (int g = 0; g < groups; g += Isa::kLanes) {
      typename Isa::I t[Isa::kLanes];
      for (int i = 0; i < Isa::kLanes; ++i) t[i] = Isa::load_int(terms[r][i] + g);
      Isa::transpose(t);
      const int count = groups - g < Isa::kLanes ? groups - g : Isa::kLanes;
      if (count == Isa::kLanes) {
        for (int i = 0; i < Isa::kLanes; ++i)
          acc[r] = Isa::fmadd(Isa::as_float(t[i]), Isa::set1(x_scale[r][g + i]), acc[r]);
      } else {
        for (int i = 0; i < count; ++i)
          acc[r] = Isa::fmadd(Isa::as_float(t[i]), Isa::set1(x_scale[r][g + i]), acc[r]);
      }
    }
  }
}

/// Asks for the chunk that lies kPrefetchBytes further in the file: many unaligned loads of each
/// line leave the core too little room to look ahead by itself. Addresses past the end are ignored.
inline constexpr int kPrefetchBytes = 4096;
template <typename Block>
HEARTH_HOST_DEVICE void prefetch_chunk(const Block* blocks) {
  constexpr int kBytes = kChunkGroups / (kBlockSize<Block> / 32) * static_cast<int>(sizeof(Block));
  const auto* ahead = reinterpret_cast<const char*>(blocks) + kPrefetchBytes;
  for (int at = 0; at < kBytes; at += 64) __builtin_prefetch(ahead + at);
}

/// Rows r0 … r0 + kRows - 1 of x times weight rows [begin, end).
template <typename Block, typename Isa, int kRows>
void dot_rows(const QuantizedTask& task, int64_t r0, int64_t begin, int64_t end) {
  constexpr int kBlockGroups = kBlockSize<Block> / 32;
  const int64_t groups = task.cols / 32;
  const int64_t full_groups = groups / kChunkGroups * kChunkGroups;
  PaddedChunk tail[kRows];
  for (int r = 0; r < kRows; ++r)
    tail[r].fill(task.x->q + (r0 + r) * task.cols + full_groups * 32,
                 task.x->sum16 + ((r0 + r) * groups + full_groups) * 2,
                 static_cast<int>(groups - full_groups));
  alignas(64) float terms[kRows][Isa::kLanes][kSegmentGroups];
  Chunk chunk;
  memset(&chunk, 0, sizeof(chunk));
  for (int64_t o = begin; o < end; o += Isa::kLanes) {
    const int tile = static_cast<int>(end - o < Isa::kLanes ? end - o : Isa::kLanes);
    if (tile < Isa::kLanes) memset(terms, 0, sizeof(terms));  // lanes without a row
    typename Isa::F acc[kRows];
    for (int r = 0; r < kRows; ++r) acc[r] = Isa::zero();
    for (int64_t segment = 0; segment < groups; segment += kSegmentGroups) {
      const int64_t left = groups - segment;
      const int count = static_cast<int>(left < kSegmentGroups ? left : kSegmentGroups);
      for (int i = 0; i < tile; ++i) {
        const auto* row = reinterpret_cast<const Block*>(task.weight + static_cast<size_t>(o + i) *
                                                                           task.row_bytes);
        int g = 0;
        for (; g + kChunkGroups <= count; g += kChunkGroups) {
          prefetch_chunk(row + (segment + g) / kBlockGroups);
          unpack_chunk<Isa>(row + (segment + g) / kBlockGroups, kChunkGroups, chunk);
          for (int r = 0; r < kRows; ++r) {
            const int64_t at = (r0 + r) * groups + segment + g;
            chunk_terms<Block, Isa>(chunk, task.x->q + at * 32, task.x->sum16 + at * 2,
                                    terms[r][i] + g);
          }
        }
        if (g < count) {
          unpack_chunk<Isa>(row + (segment + g) / kBlockGroups, count - g, chunk);
          for (int r = 0; r < kRows; ++r)
            chunk_terms<Block, Isa>(chunk, tail[r].q, tail[r].sum16, terms[r][i] + g);
        }
      }
      const float* x_scale[kRows];
      for (int r = 0; r < kRows; ++r) x_scale[r] = task.x->scale + (r0 + r) * groups + segment;
      add_terms<Isa, kRows>(terms, x_scale, count, acc);
    }
    for (int r = 0; r < kRows; ++r) finish<Isa>(task, acc[r], r0 + r, o, 0, tile);
  }
}

}  // namespace hearth::kernels::simd
