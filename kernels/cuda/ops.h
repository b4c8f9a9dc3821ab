#pragma once
// The ops of the CUDA kernel table (kernels/kernel_table.h). Compiled twice: by nvcc as namespace
// `cuda`, and for the emulator as namespace `emulated`. Included by .cu files after simt.h.
//
// Pointers in the arguments are device memory, but for three that the host reads: `jobs` of a
// matmul, `weights` of an expert_matmul, and `sequences`, which must be those of the context's
// StepTables. HalfRows are in the order of kernels/cuda/half_layout.h. Each output element is
// reduced in one order that depends on shapes of weights and heads alone, never on the number of
// rows; but for matmuls that OpContext::gemm takes.

#include "kernels/kernel_table.h"

namespace hearth::kernels::HEARTH_SIMT {

void embed(const ExecContext& context, const EmbedArgs& args);
void rms_norm(const ExecContext& context, const RmsNormArgs& args);
void layer_norm(const ExecContext& context, const LayerNormArgs& args);
void quantize(const ExecContext& context, const QuantizeArgs& args);
/// F32 and BF16 weights read f32, F16 that or HalfRows in order, all others HalfRows.
MatmulInput matmul_input(DType weight);
void matmul(const ExecContext& context, const ActivationView& x, const MatmulArgs* jobs,
            int num_jobs);
void rope_table(const ExecContext& context, const RopeTableArgs& args);
void rope(const ExecContext& context, const RopeArgs& args);
void kv_store(const ExecContext& context, const KvStoreArgs& args);
void attention(const ExecContext& context, const AttentionArgs& args);
void activate(const ExecContext& context, const ActivateArgs& args);
void scale(const ExecContext& context, const ScaleArgs& args);
void add(const ExecContext& context, const AddArgs& args);
void route(const ExecContext& context, const RouteArgs& args);
void gather(const ExecContext& context, const GatherArgs& args);
void expert_matmul(const ExecContext& context, const ActivationView& x,
                   const ExpertMatmulArgs& args);
void combine(const ExecContext& context, const CombineArgs& args);
void rms_norm_quantize(const ExecContext& context, const RmsNormQuantizeArgs& args);
void activate_quantize(const ExecContext& context, const ActivateQuantizeArgs& args);
void rope_kv_store(const ExecContext& context, const RopeKvStoreArgs& args);

void sample(const ExecContext& context, const SampleArgs& args);

/// All of them.
const KernelTable& kernel_table();

}  // namespace hearth::kernels::HEARTH_SIMT
