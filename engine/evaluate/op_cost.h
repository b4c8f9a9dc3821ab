#pragma once
// The least that each op has to move and compute: what its time is judged by. Bytes are those of
// its inputs and outputs, each once; caches have most of them but weights and KV. Operations are
// multiplications and additions of its sums; ops on activations alone have none.

#include <span>

#include "kernels/cpu/arithmetic_peak.h"
#include "kernels/kernel_table.h"

namespace hearth {

struct OpCost {
  double bytes = 0.0;
  double cold_bytes = 0.0;  // of them, weights and KV: what no cache holds from step to step
  double operations = 0.0;
  kernels::Arithmetic arithmetic = kernels::Arithmetic::kNone;  // of the operations
};

OpCost cost_of(const kernels::EmbedArgs& args);
OpCost cost_of(const kernels::RmsNormArgs& args);
OpCost cost_of(const kernels::LayerNormArgs& args);
OpCost cost_of(const kernels::QuantizeArgs& args);
OpCost cost_of(const kernels::RopeTableArgs& args);
OpCost cost_of(const kernels::RopeArgs& args);
OpCost cost_of(const kernels::KvStoreArgs& args);
/// K and V are counted once for each sequence, up to its last row, from the first token that any of
/// its rows sees.
OpCost cost_of(const kernels::AttentionArgs& args);
OpCost cost_of(const kernels::ActivateArgs& args);
OpCost cost_of(const kernels::ScaleArgs& args);
OpCost cost_of(const kernels::AddArgs& args);
OpCost cost_of(const kernels::RouteArgs& args);
OpCost cost_of(const kernels::GatherArgs& args);
OpCost cost_of(const kernels::CombineArgs& args);
/// Of all jobs. `input` is what the first weight reads (KernelTable::matmul_input).
OpCost cost_of(const kernels::ActivationView& x, std::span<const kernels::MatmulArgs> jobs,
               kernels::MatmulInput input);
/// Weights of experts that have slots.
OpCost cost_of(const kernels::ActivationView& x, const kernels::ExpertMatmulArgs& args,
               kernels::MatmulInput input);

}  // namespace hearth
