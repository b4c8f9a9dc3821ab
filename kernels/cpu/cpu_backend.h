#pragma once
// Chooses the CPU's kernel table.

#include <string_view>

#include "base/result.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// The best table this CPU can run ("" or "auto"), or the one named: ref, avx2, avx512. An unknown
/// name, or one that this CPU cannot run, is an error that lists what can be chosen.
Result<const KernelTable*> select_cpu_kernels(std::string_view isa);

}  // namespace hearth::kernels
