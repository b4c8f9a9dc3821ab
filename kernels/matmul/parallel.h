#pragma once

#include <utility>

#include "kernels/cpu/thread_pool.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// Runs body(thread_index, num_threads) on every thread of the context's pool, or once on the
/// caller's thread where there is no pool.
template <typename Body>
void run_on_pool(const ExecContext& context, Body&& body) {
  if (context.pool == nullptr) {
    body(0, 1);
  } else {
    context.pool->run(std::forward<Body>(body));
  }
}

}  // namespace hearth::kernels
