#pragma once

#include "kernels/quant/blocks.h"

namespace hearth::quant {

// fit_block(x, block): a block's finite values to the scales and codes of least weighted error.

void fit_block(const float* x, BlockQ4_0& block);
void fit_block(const float* x, BlockQ4_1& block);
void fit_block(const float* x, BlockQ5_0& block);
void fit_block(const float* x, BlockQ5_1& block);
void fit_block(const float* x, BlockIQ4_NL& block);
void fit_block(const float* x, BlockMXFP4& block);
void fit_block(const float* x, BlockTQ1_0& block);
void fit_block(const float* x, BlockTQ2_0& block);
void fit_block(const float* x, BlockQ2_K& block);
void fit_block(const float* x, BlockQ3_K& block);
void fit_block(const float* x, BlockQ4_K& block);
void fit_block(const float* x, BlockQ5_K& block);
void fit_block(const float* x, BlockQ6_K& block);
void fit_block(const float* x, BlockIQ4_XS& block);

}  // namespace hearth::quant
