#pragma once
// The silu_mul op (kernels/kernel_table.h, SiluMulArgs): silu(x) = x / (1 + e^-x). No finite gate
// gives NaN. A null ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void silu_mul_ref(const ExecContext& context, const SiluMulArgs& args);
void silu_mul_avx2(const ExecContext& context, const SiluMulArgs& args);
void silu_mul_avx512(const ExecContext& context, const SiluMulArgs& args);

/// An e^x costs about as much as this many simple element operations.
inline constexpr int64_t kSiluWork = 8;

}  // namespace hearth::kernels
