#pragma once
// The ops scale and add (kernels/kernel_table.h, ScaleArgs and AddArgs): what happens to a residual
// stream or to logits between matmuls. A null ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void scale_ref(const ExecContext& context, const ScaleArgs& args);
void scale_avx2(const ExecContext& context, const ScaleArgs& args);
void scale_avx512(const ExecContext& context, const ScaleArgs& args);
void scale_neon(const ExecContext& context, const ScaleArgs& args);

void add_ref(const ExecContext& context, const AddArgs& args);
void add_avx2(const ExecContext& context, const AddArgs& args);
void add_avx512(const ExecContext& context, const AddArgs& args);
void add_neon(const ExecContext& context, const AddArgs& args);

}  // namespace hearth::kernels
