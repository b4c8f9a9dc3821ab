#pragma once
// The ops of a mixture of experts (kernels/kernel_table.h): route, gather, expert_matmul, combine.
// route and gather have no ISA variants: they touch little beside the experts' matrices. A null
// ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// The most experts of a model, which bounds route's scratch memory on the stack.
inline constexpr int32_t kMaxExperts = 1024;

/// experts <= kMaxExperts.
void route_ref(const ExecContext& context, const RouteArgs& args);

void gather_ref(const ExecContext& context, const GatherArgs& args);

/// One dispatch for all experts that have slots: every thread takes a contiguous range of the rows
/// of each one's matrix, and multiplies them by the matmul of the same instruction set.
void expert_matmul_ref(const ExecContext& context, const ActivationView& x,
                       const ExpertMatmulArgs& args);
void expert_matmul_avx2(const ExecContext& context, const ActivationView& x,
                        const ExpertMatmulArgs& args);
void expert_matmul_avx512(const ExecContext& context, const ActivationView& x,
                          const ExpertMatmulArgs& args);
void expert_matmul_neon(const ExecContext& context, const ActivationView& x,
                        const ExpertMatmulArgs& args);

void combine_ref(const ExecContext& context, const CombineArgs& args);
void combine_avx2(const ExecContext& context, const CombineArgs& args);
void combine_avx512(const ExecContext& context, const CombineArgs& args);
void combine_neon(const ExecContext& context, const CombineArgs& args);

}  // namespace hearth::kernels
