#pragma once

namespace hearth::kernels {

/// Whether this CPU and its system run the *_avx2.cpp variants: AVX2, FMA, F16C and BMI2.
bool cpu_has_avx2();

/// Whether they run the *_avx512.cpp variants: AVX-512 F, BW, VL, DQ, VNNI and VBMI, and AVX2's.
bool cpu_has_avx512();

/// Whether they run the *_neon.cpp variants: AArch64 with dot products of bytes (ARMv8.2).
bool cpu_has_neon();

}  // namespace hearth::kernels
