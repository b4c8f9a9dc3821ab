#pragma once
// Atomic operations of kernels, on shared or global memory. What they make of many threads' numbers
// must not depend on the order: sums of integers, maxima, lists whose order means nothing. Included
// by .cu files after simt.h.

#include "kernels/cuda/simt.h"

namespace hearth::kernels::simt {

#if defined(__CUDACC__)

/// Both give what was there before.
HEARTH_KERNEL int32_t atomic_add(int32_t* at, int32_t value) { return atomicAdd(at, value); }
HEARTH_KERNEL uint64_t atomic_add(uint64_t* at, uint64_t value) {
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t));
  return atomicAdd(reinterpret_cast<unsigned long long*>(at), value);
}
HEARTH_KERNEL void atomic_max(uint32_t* at, uint32_t value) { atomicMax(at, value); }
HEARTH_KERNEL void atomic_max(uint64_t* at, uint64_t value) {
  atomicMax(reinterpret_cast<unsigned long long*>(at), value);
}

#else

// The emulator's threads take turns at barriers only.
template <typename T>
T atomic_add(T* at, T value) {
  const T before = *at;
  *at += value;
  return before;
}
template <typename T>
void atomic_max(T* at, T value) {
  if (value > *at) *at = value;
}

#endif

}  // namespace hearth::kernels::simt
