#pragma once
// The architecture's header of intrinsics, for the SIMD kernels. GCC 12's AVX-512 intrinsics pass
// deliberately undefined vectors where a mask covers all lanes; once inlined they draw these
// warnings, at lines of that header.

#if defined(__aarch64__)
#include <arm_neon.h>
#else

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
