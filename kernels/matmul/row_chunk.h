#pragma once
// Quantized weights to bytes and f32 scales, 16 groups of a row at a time: what row_kernel.h starts
// from.

#include "kernels/matmul/row_unpack.h"
#include "kernels/matmul/row_unpack_codebook.h"

namespace hearth::kernels::simd {

/// Unpacks `groups` groups (at most 16, whole blocks) that begin at `blocks`. A full chunk of
/// blocks of 32 goes to Isa::unpack_full where the instruction set has a better way.
template <typename Isa, typename Block>
HEARTH_HOST_DEVICE void unpack_chunk(const Block* blocks, int groups, Chunk& chunk) {
  if constexpr (kBlockSize<Block> == 256) {
    for (int g = 0; g < groups; g += 8) {
      unpack_bytes<Isa>(blocks[g / 8], chunk.q + 32 * g);
      unpack_scales(blocks[g / 8], chunk, g);
    }
  } else {
    if constexpr (requires { Isa::unpack_full(blocks, chunk); }) {
      if (groups == kChunkGroups) return Isa::unpack_full(blocks, chunk);
    }
    for (int g = 0; g < groups; ++g) {
      store32(chunk.q + 32 * g, group_bytes<Isa>(blocks[g]));
      unpack_scales(blocks[g], chunk, g);
    }
  }
}

}  // namespace hearth::kernels::simd
