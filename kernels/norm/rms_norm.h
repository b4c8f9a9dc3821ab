#pragma once
// The rms_norm op (kernels/kernel_table.h, RmsNormArgs). All variants sum the squares in double,
// so that no finite input overflows. A null ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void rms_norm_ref(const ExecContext& context, const RmsNormArgs& args);
void rms_norm_avx2(const ExecContext& context, const RmsNormArgs& args);
void rms_norm_avx512(const ExecContext& context, const RmsNormArgs& args);
void rms_norm_neon(const ExecContext& context, const RmsNormArgs& args);

}  // namespace hearth::kernels
