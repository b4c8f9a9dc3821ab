#pragma once
// What the arithmetic units give at most: loops of multiply-adds on registers alone, as the limit
// that ops are measured against.

#include <cstdint>
#include <string_view>

namespace hearth::kernels {

/// The multiply-adds that ops consist of.
enum class Arithmetic {
  kNone,   // bound by memory whatever it computes
  kF32,    // fused multiply-adds
  kInt16,  // pairs of int16 products summed in int32 (bf16 pairs are as fast where they exist)
  kInt8,   // fours of int8 products summed in int32
};

/// Runs `rounds` rounds on the caller's thread and returns the operations done, where a
/// multiplication and an addition count one each.
using PeakLoop = int64_t (*)(int64_t rounds);

/// The loop of one kind for the instruction set of a kernel table, or null: "ref" has none.
PeakLoop find_peak_loop(std::string_view isa, Arithmetic arithmetic);

/// The variants; the CPU must have theirs. Null for kNone.
PeakLoop peak_loop_avx2(Arithmetic arithmetic);
PeakLoop peak_loop_avx512(Arithmetic arithmetic);

}  // namespace hearth::kernels
