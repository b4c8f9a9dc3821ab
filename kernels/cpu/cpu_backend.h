#pragma once
// Chooses the CPU's kernel table.

#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// The best table this CPU can run ("" or "auto"), or the one named: ref, avx2, avx512, neon. An
/// unknown name, or one that this CPU cannot run, is an error that lists what can be chosen.
Result<const KernelTable*> select_cpu_kernels(std::string_view isa);

/// A table of this build.
struct CpuKernels {
  const KernelTable* table;
  bool runs_here;
};
/// All of them, best first, the reference last: what tests and benchmarks go through.
std::vector<CpuKernels> cpu_kernels();

}  // namespace hearth::kernels
