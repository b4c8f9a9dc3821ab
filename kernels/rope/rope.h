#pragma once
// The ops rope_table and rope (kernels/kernel_table.h, RopeTableArgs and RopeArgs). rope_table has
// no ISA variants: its angles need double, and it runs once per step for all layers. A null
// ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// rotary_dim is even.
void rope_table_ref(const ExecContext& context, const RopeTableArgs& args);

/// rotary_dim is even and at most head_dim.
void rope_ref(const ExecContext& context, const RopeArgs& args);
void rope_avx2(const ExecContext& context, const RopeArgs& args);
void rope_avx512(const ExecContext& context, const RopeArgs& args);
void rope_neon(const ExecContext& context, const RopeArgs& args);

}  // namespace hearth::kernels
