#pragma once
// Tiles of the tensor-core matmul (half_matmul.h), and where things lie in their shared memory.
// Included by .cu files after simt.h.

#include "kernels/cuda/warpgroup.h"
#include "kernels/matmul/matmul_place.h"

namespace hearth::kernels::HEARTH_SIMT {

/// A team is the threads that stage and compute together: a warp that has a part of the sum for
/// itself (kSplit), or the whole cta.
template <bool kHasPart, int kWarpsAcrossOutputs, int kWarpsAcrossRows, int kOutputTiles,
          int kRowTiles>
struct HalfTile {
  static constexpr bool kSplit = kHasPart;
  static constexpr bool kGroup = false;  // products are those of warpgroups
  static constexpr int kTeamThreads = kHasPart ? simt::kWarp : 256;
  static constexpr int kWarpsM = kWarpsAcrossOutputs;
  static constexpr int kWarpsN = kWarpsAcrossRows;
  static constexpr int kM = kOutputTiles;  // of 16 outputs, of a warp
  static constexpr int kN = kRowTiles;     // of 8 rows of x, of a warp
  static constexpr int kOutputs = kWarpsM * kM * 16;
  static constexpr int kRows = kWarpsN * kN * 8;
  static_assert(kHasPart ? kWarpsM * kWarpsN == 1 : kWarpsM * kWarpsN == 8);
};

/// Up to 8 rows: a part of the sum for each of the cta's 8 warps.
template <int kOutputTiles>
using SplitTile = HalfTile<true, 1, 1, kOutputTiles, 1>;
/// Up to 32 rows: 128 outputs, 16 for each warp, which all read the same rows of x.
using MediumTile = HalfTile<false, 8, 1, 1, 4>;
/// Up to 64 rows: 128 outputs by 64 rows.
using WideTile = HalfTile<false, 4, 2, 2, 4>;
/// More: 128 outputs by 128 rows, 32 by 64 for each warp.
using SquareTile = HalfTile<false, 4, 2, 2, 8>;

/// More than MediumTile has, where warpgroups have products: 64 outputs for each of two, by 64 or
/// 128 rows.
template <int kRowTiles>
struct GroupTile : HalfTile<false, 8, 1, 1, kRowTiles> {
  static constexpr bool kGroup = true;
};

/// Rows of x in shared memory: pieces of 64 values, in each piece row after row of 128 bytes. The
/// 16 bytes of chunk c lie where chunk c ^ row % 8 would: the same chunk of eight rows, which is
/// read at a time, lies in different banks. (PTX ISA: 128-byte swizzling.)
HEARTH_KERNEL int half_chunk(int row, int chunk) { return (chunk ^ row % 8) * 16; }
/// The same for rows of 32 bytes: four of them are as long as all banks. (32-byte swizzling.)
HEARTH_KERNEL int pair_chunk(int row, int chunk) { return (chunk ^ row / 4 % 2) * 16; }

/// Where a lane's rows of weights and of x begin in a stage, in bytes of shared memory: offsets
/// take half the registers of pointers.
template <int kM, int kN>
struct HalfOperands {
  int weight[kM][2];  // rows `row` and `row` + 8 of a tile; kSwizzled: [0], for load_matrices()
  int group_weight;   // kSwizzled: the first row of the lane's warpgroup
  int x;              // the first row of x
  int column;         // for load_matrices(): row lane % 8 of x as a column of b, chunk lane / 8
  int piece;          // from 64 values of x to the next ones
  int sums;           // floats, of a group of 32 or of its halves: [group or half][row]
  int sum_pitch;      // from one of them to the next, in floats
  int sum_row;        // its first row of x as a column of c; the second follows
  int sum_pairs;      // for load_matrices(): sums as pairs of 16-bit floats, chunk lane / 8 % 2
};

/// What a lane needs of x for the two products of a group, for tile n of its rows: b[product]. Rows
/// begin at multiples of 128 bytes.
template <int kM, int kN>
HEARTH_KERNEL void load_column(const HalfOperands<kM, kN>& operands, int n, int group,
                               uint32_t (&b)[2][2]) {
  const int at = (operands.column ^ group % 2 * 64) + group / 2 * operands.piece + n * 8 * 128;
  uint32_t words[4];
  simt::load_matrices(words, simt::shared_memory() + at);
  for (int i = 0; i < 4; ++i) b[i / 2][i % 2] = words[i];
}

/// Shared memory of a cta: weights in slots of their own, since a slot of them may last for several
/// slots of x.
struct HalfLayout {
  int weight_bytes;  // of a slot of weights
  int x_bytes;       // of a slot of x and what goes with it
  int weight_slots;
  int x_slots;
  HEARTH_HOST_DEVICE int team_bytes() const {
    return weight_slots * weight_bytes + x_slots * x_bytes;
  }
};

template <typename Format, typename Tile>
struct HalfStages {
  static constexpr int kX = Tile::kSplit ? Format::kStep : 64;  // values of a row in a slot of x
  static constexpr int kW = Tile::kSplit ? Format::kStep : Format::kWideStep;  // … of weights
  static constexpr int kTurns = kW / kX;  // slots of x for a slot of weights
  static constexpr int kWeightBytes = Format::template weight_bytes<kW>();
  static constexpr int kWeightPitch = Format::template weight_pitch<kW>();
  static constexpr int kGroups = kX / 32;
  static constexpr int kAlignment = Tile::kGroup ? 1024 : 128;  // of rows of x
  static_assert(Tile::kOutputs * kWeightPitch % kAlignment == 0);
  static_assert(kW % kX == 0 && Format::kStep % kW == 0 && kX % 64 == 0);

  static HEARTH_HOST_DEVICE HalfLayout layout(int x_slots, int staged_rows) {
    HalfLayout out;
    out.weight_bytes = Tile::kOutputs * kWeightPitch;
    out.x_bytes = staged_rows * kX * 2;
    if (Format::kSums > 0)
      out.x_bytes += round_up(kGroups * Format::kSums * sum_pitch(staged_rows) * 4, kAlignment);
    if (Format::kSumPairs) out.x_bytes += round_up(staged_rows * 32, kAlignment);
    out.x_slots = x_slots;
    // The slot that is filled must not be that of a turn which is still to come.
    out.weight_slots = (x_slots - 1 + kTurns - 1) / kTurns + 1;
    return out;
  }
  /// From group to group, in floats: room for whole tiles of rows.
  static HEARTH_HOST_DEVICE int sum_pitch(int staged_rows) { return round_up(staged_rows, 8); }

 private:
  static HEARTH_HOST_DEVICE int round_up(int bytes, int to) { return (bytes + to - 1) / to * to; }
};

}  // namespace hearth::kernels::HEARTH_SIMT
