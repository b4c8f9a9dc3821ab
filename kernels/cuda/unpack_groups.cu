// Unpacks quantization blocks on the device, by the very helpers that the CPU's reference uses: the
// proof that contracts and layouts compile for it, and the oracle for kernels that unpack faster.
#include "kernels/kernel_table.h"
#include "kernels/quant/blocks.h"
#include "kernels/quant/unpack.h"
#include "kernels/quant/unpack_codebook.h"

namespace hearth::kernels {

/// out[b * groups + g] = group g of blocks[b]; one thread for each group of 32 values.
template <typename Block>
__global__ void unpack_groups(const Block* blocks, int64_t num_blocks, quant::Group32* out) {
  constexpr int kGroups = quant::kBlockSize<Block> / 32;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= num_blocks * kGroups) return;
  quant::unpack_group(blocks[index / kGroups], static_cast<int>(index % kGroups), out[index]);
}

#define HEARTH_INSTANTIATE(Block)                                                    \
  template __global__ void unpack_groups<quant::Block>(const quant::Block*, int64_t, \
                                                       quant::Group32*)
HEARTH_INSTANTIATE(BlockQ4_0);
HEARTH_INSTANTIATE(BlockQ4_1);
HEARTH_INSTANTIATE(BlockQ5_0);
HEARTH_INSTANTIATE(BlockQ5_1);
HEARTH_INSTANTIATE(BlockQ8_0);
HEARTH_INSTANTIATE(BlockIQ4_NL);
HEARTH_INSTANTIATE(BlockQ2_K);
HEARTH_INSTANTIATE(BlockQ3_K);
HEARTH_INSTANTIATE(BlockQ4_K);
HEARTH_INSTANTIATE(BlockQ5_K);
HEARTH_INSTANTIATE(BlockQ6_K);
HEARTH_INSTANTIATE(BlockIQ4_XS);
HEARTH_INSTANTIATE(BlockMXFP4);
HEARTH_INSTANTIATE(BlockTQ1_0);
HEARTH_INSTANTIATE(BlockTQ2_0);
HEARTH_INSTANTIATE(BlockIQ2_XXS);
HEARTH_INSTANTIATE(BlockIQ2_XS);
HEARTH_INSTANTIATE(BlockIQ2_S);
HEARTH_INSTANTIATE(BlockIQ3_XXS);
HEARTH_INSTANTIATE(BlockIQ3_S);
HEARTH_INSTANTIATE(BlockIQ1_S);
HEARTH_INSTANTIATE(BlockIQ1_M);
#undef HEARTH_INSTANTIATE

}  // namespace hearth::kernels
