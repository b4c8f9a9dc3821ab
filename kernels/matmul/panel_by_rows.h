#pragma once
// Panels (see panel_load.h) of the types whose codes cannot be unpacked for all lanes at once,
// those with code books and the ternary ones: each row's block is unpacked as for row_kernel.h,
// then the words of kLanes rows are transposed.

#include "kernels/matmul/row_unpack_codebook.h"

namespace hearth::kernels::simd {

template <typename Block>
inline constexpr bool kIsUnpackedByRow = HasCodeBook<Block> || IsTernary<Block>;

/// The block at `first` and those of the next rows, from group g of the panel on.
template <typename Block, typename Isa>
void load_block_by_rows(const uint8_t* first, size_t stride, Panel<Isa>& panel, int g) {
  constexpr int kLanes = Isa::kLanes;
  constexpr int kScales = 8 * kForm<Block>.halves;
  alignas(64) uint8_t q[kLanes][256];
  alignas(64) float scale[kLanes][16];  // of the first halves, then of the second
  if constexpr (kScales < kLanes) memset(scale, 0, sizeof(scale));
  for (int i = 0; i < kLanes; ++i) {
    const auto& block = *reinterpret_cast<const Block*>(first + static_cast<size_t>(i) * stride);
    unpack_bytes<Isa>(block, q[i]);
    store_scales(block, scale[i], scale[i] + 8);
  }
  for (int word = 0; word < 64; word += kLanes) {
    typename Isa::I v[kLanes];
    for (int i = 0; i < kLanes; ++i) v[i] = Isa::load_int(q[i] + 4 * word);
    Isa::transpose(v);
    for (int i = 0; i < kLanes; ++i) Isa::store_int(panel.q[8 * g + word + i], v[i]);
  }
  for (int at = 0; at < kScales; at += kLanes) {
    typename Isa::I v[kLanes];
    for (int i = 0; i < kLanes; ++i) v[i] = Isa::load_int(scale[i] + at);
    Isa::transpose(v);
    for (int i = 0; i < kLanes && at + i < kScales; ++i)
      Isa::store_int(panel.scale[(at + i) / 8][g + (at + i) % 8], v[i]);
  }
}

}  // namespace hearth::kernels::simd
