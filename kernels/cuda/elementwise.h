#pragma once
// Kernels in which each thread makes one output by itself. Included by .cu files after simt.h.

#include "base/check.h"
#include "kernels/cuda/simt.h"

namespace hearth::kernels::HEARTH_SIMT {

/// Runs `Body::at(args, i)` for each i below count.
template <typename Body>
struct ForEach {
  struct Args {
    typename Body::Args body;
    int64_t count;
  };
  static constexpr int kThreads = 256;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t i = static_cast<int64_t>(simt::cta_index().x) * kThreads + simt::thread_index();
    if (i < args.count) Body::at(args.body, i);
  }
};

template <typename Body>
void for_each(const ExecContext& context, int64_t count, const typename Body::Args& body) {
  using Kernel = ForEach<Body>;
  if (count <= 0) return;
  const int64_t ctas = (count + Kernel::kThreads - 1) / Kernel::kThreads;
  HEARTH_CHECK(ctas <= INT32_MAX, "an op has fewer than 2^39 outputs");
  simt::launch<Kernel>(context, {.x = static_cast<int>(ctas)}, 0, {body, count});
}

}  // namespace hearth::kernels::HEARTH_SIMT
