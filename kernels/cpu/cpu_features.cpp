#include "kernels/cpu/cpu_features.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace hearth::kernels {

#if defined(__aarch64__)

// The atomics of ARMv8.1 come with every such CPU, but a system may hide them.
bool cpu_has_neon() {
  constexpr unsigned long kNeeded = HWCAP_ASIMDDP | HWCAP_ATOMICS;
  return (getauxval(AT_HWCAP) & kNeeded) == kNeeded;
}

#else

bool cpu_has_neon() { return false; }

#endif

#if defined(__x86_64__)

// __builtin_cpu_supports also asks whether the system saves the registers (XGETBV).
bool cpu_has_avx2() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
         __builtin_cpu_supports("f16c") != 0 && __builtin_cpu_supports("bmi2") != 0;
}

bool cpu_has_avx512() {
  return cpu_has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vnni") != 0 &&
         __builtin_cpu_supports("avx512vbmi") != 0;
}

#else

bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }

#endif

}  // namespace hearth::kernels
