#pragma once
// What this machine gives at most at this moment, measured beside what is judged by it: shared
// machines drift by a third within minutes.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "engine/model/model.h"
#include "kernels/cpu/arithmetic_peak.h"
#include "kernels/cpu/thread_pool.h"

namespace hearth {

/// Per second, of all threads of a pool together; 0 where there is nothing to measure.
struct MachineLimits {
  double read_bytes = 0.0;  // plain read of the mapped weights, or of the cache where they fit it
  double f32 = 0.0;         // operations, as kernels::Arithmetic counts them
  double int16 = 0.0;
  double int8 = 0.0;

  [[nodiscard]] double operations(kernels::Arithmetic arithmetic) const;
};

/// The larger of each: a limit is the best that was seen.
MachineLimits best_of(const MachineLimits& a, const MachineLimits& b);

/// The stretches of memory that hold the weights of a model, in order of address. Stretches with
/// little between them are one.
std::vector<std::span<const std::byte>> weight_spans(const Model& model);

/// Measures all of them with the pool's threads and the loops of `isa` (KernelTable::name); takes
/// some tenths of a second. Each thread reads one long stretch of the weights, at most 2 GiB in
/// all.
MachineLimits measure_limits(kernels::ThreadPool& pool, std::string_view isa,
                             std::span<const std::span<const std::byte>> weights);

}  // namespace hearth
