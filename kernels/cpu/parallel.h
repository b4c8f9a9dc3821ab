#pragma once
// Running an op on the pool. Included by translation units built for different instruction sets:
// everything here is inlined, or instantiated for a lambda of the includer alone.

#include <cstdint>
#include <utility>

#include "kernels/cpu/thread_pool.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// Runs body(thread_index, num_threads) on every thread of the context's pool, or once on the
/// caller's thread where there is no pool.
template <typename Body>
__attribute__((always_inline)) inline void run_on_pool(const ExecContext& context, Body&& body) {
  if (context.pool == nullptr) {
    body(0, 1);
  } else {
    context.pool->run(std::forward<Body>(body));
  }
}

/// Waking the pool costs a few microseconds, about as long as one core takes for this many simple
/// element operations: smaller ops stay on the caller.
inline constexpr int64_t kMinParallelWork = 16384;

/// Calls f(begin, end) for slices that cover [0, count), on the pool if `count * work_each` element
/// operations are worth waking it. A null pool means the caller's thread alone.
template <typename F>
__attribute__((always_inline)) inline void for_each_slice(const ExecContext& context, int64_t count,
                                                          int64_t work_each, const F& f) {
  if (count <= 0) return;
  if (context.pool == nullptr || count == 1 || count * work_each < kMinParallelWork) {
    f(int64_t{0}, count);
    return;
  }
  context.pool->run([&](int index, int threads) {
    const Slice slice = thread_slice(count, 1, index, threads);
    if (slice.begin < slice.end) f(slice.begin, slice.end);
  });
}

}  // namespace hearth::kernels
