#pragma once
// The layer_norm op (kernels/kernel_table.h, LayerNormArgs). All variants sum values and squares in
// double, so that no finite input overflows and their difference keeps its digits. A null
// ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void layer_norm_ref(const ExecContext& context, const LayerNormArgs& args);
void layer_norm_avx2(const ExecContext& context, const LayerNormArgs& args);
void layer_norm_avx512(const ExecContext& context, const LayerNormArgs& args);
void layer_norm_neon(const ExecContext& context, const LayerNormArgs& args);

}  // namespace hearth::kernels
