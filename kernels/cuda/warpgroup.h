#pragma once
// Tensor-core products of a warpgroup: the four warps from a multiple of four on, which all come
// here together (PTX ISA, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions").
// Compute capability 9.0 alone has them, and code for 9.0a alone can say them: OpContext tells.
//
//   c += a b for c [64, 8 kTiles], a [64, 16], b [16, 8 kTiles]
//
// A warp has 16 of the 64 rows, and its lanes hold of c and a what they hold in the products of
// simt.h: c[n] is tile n. b, and a where it is not in registers, lie in shared memory as
// kernels/matmul/half_tile.h says: for each column of b, or row of a, a row of 128 bytes, 8 rows at
// a time from a multiple of 1024 bytes on, swizzled. A product begins at the 32 bytes of its k.
//
// The hardware adds the 16 products and c at once, on 9.0 as the products of simt.h do: the bits
// are the same (P. Xie et al., "MMA-Sim", arXiv 2511.10909; tests/kernels/cuda/matmul_test.cpp).
//
// Products go on while the threads do something else:
//   hold(c), hold(a)      where registers of them were written
//   group_arrive()        before the first one of a batch
//   group_multiply(…)     starts one; group_multiply_first(…) one that overwrites c
//   group_commit()        ends a batch
//   group_wait<N>()       until all but the N youngest batches are done
//   hold(c)               where c is read
// Until then registers belong to them, and what they read in shared memory must stay. Registers
// that are written while products go on make the compiler wait for these.

#include "kernels/cuda/simt.h"

namespace hearth::kernels::simt {

inline constexpr int kWarpgroup = 4 * kWarp;

/// Whether this code is for a device that has them.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kHasGroupProducts = true;
#else
inline constexpr bool kHasGroupProducts = false;
#endif

/// Where an operand begins in shared memory, at an address there, and that its rows lie as above,
/// or as above but of 32 bytes, from a multiple of 256 on: bits 0 to 13 the address, 16 to 29
/// unused by these swizzles, 32 to 45 the distance of 8 rows, all in 16 bytes; 62 and 63: swizzled
/// by 128 or 32 bytes (PTX ISA, "Matrix Descriptor Format").
template <int kRowBytes>
HEARTH_HOST_DEVICE uint64_t matrix_descriptor(uint32_t address) {
  static_assert(kRowBytes == 128 || kRowBytes == 32);
  constexpr uint64_t kSwizzle = kRowBytes == 128 ? 1 : 3;
  return uint64_t{(address & 0x3FFFFU) >> 4} | uint64_t{1} << 16 |
         uint64_t{8 * kRowBytes >> 4} << 32 | kSwizzle << 62;
}

/// The same for `offset` bytes from shared_memory() on.
template <int kRowBytes = 128>
HEARTH_KERNEL uint64_t operand_at(int offset) {
#if defined(__CUDACC__)
  const auto base = static_cast<uint32_t>(__cvta_generic_to_shared(shared_memory()));
#else
  const uint32_t base = 0;
#endif
  return matrix_descriptor<kRowBytes>(base + static_cast<uint32_t>(offset));
}

/// The operand that begins `bytes` behind another one.
HEARTH_KERNEL uint64_t behind(uint64_t operand, int bytes) {
  return operand + static_cast<uint64_t>(bytes / 16);
}

#if defined(__CUDACC__)

/// What this thread wrote to shared memory is there for products behind the next barrier.
HEARTH_KERNEL void show_to_products() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// Keeps the compiler from moving what it does with c across this place.
template <int kTiles>
HEARTH_KERNEL void hold(float (&c)[kTiles][4]) {
  HEARTH_UNROLL
  for (int n = 0; n < kTiles; ++n)
    asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
}

/// Has them computed before this place.
HEARTH_KERNEL void hold(const uint32_t (&a)[4]) {
  asm volatile("" ::"r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]) : "memory");
}

HEARTH_KERNEL void group_arrive() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

HEARTH_KERNEL void group_commit() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

template <int kYoungest>
HEARTH_KERNEL void group_wait() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kYoungest) : "memory");
#endif
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
// Operands of the instructions below: tiles of c, and their names in the text.
#define HEARTH_C1(how, n) how(c[n][0]), how(c[n][1]), how(c[n][2]), how(c[n][3])
#define HEARTH_C8(how, n)                                                                 \
  HEARTH_C1(how, n), HEARTH_C1(how, n + 1), HEARTH_C1(how, n + 2), HEARTH_C1(how, n + 3), \
      HEARTH_C1(how, n + 4), HEARTH_C1(how, n + 5), HEARTH_C1(how, n + 6), HEARTH_C1(how, n + 7)
#define HEARTH_NAMES_32                                                    \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define HEARTH_NAMES_64                                                                \
  HEARTH_NAMES_32                                                                      \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
// Adds to c, unless `first` is 1; neither operand is negated; rows of both hold consecutive k.
#define HEARTH_GROUP_PRODUCT(columns, type, names, a, b, tail, first)                         \
  "{\n.reg .pred p;\nsetp.eq.u32 p, " first ", 0;\nwgmma.mma_async.sync.aligned.m64n" columns \
  "k16.f32." type "." type " {" names "}, " a ", " b ", p, 1, 1, " tail ";\n}"
#endif

/// a and b in shared memory: 64 or 128 columns.
template <bool kBf16, int kTiles>
HEARTH_KERNEL void group_multiply(float (&c)[kTiles][4], uint64_t a, uint64_t b) {
  static_assert(kTiles == 8 || kTiles == 16);
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  if constexpr (kTiles == 8 && kBf16) {
    asm volatile(HEARTH_GROUP_PRODUCT("64", "bf16", HEARTH_NAMES_32, "%32", "%33", "0, 0", "0")
                 : HEARTH_C8("+f", 0)
                 : "l"(a), "l"(b));
  } else if constexpr (kTiles == 8) {
    asm volatile(HEARTH_GROUP_PRODUCT("64", "f16", HEARTH_NAMES_32, "%32", "%33", "0, 0", "0")
                 : HEARTH_C8("+f", 0)
                 : "l"(a), "l"(b));
  } else if constexpr (kBf16) {
    asm volatile(HEARTH_GROUP_PRODUCT("128", "bf16", HEARTH_NAMES_64, "%64", "%65", "0, 0", "0")
                 : HEARTH_C8("+f", 0), HEARTH_C8("+f", 8)
                 : "l"(a), "l"(b));
  } else {
    asm volatile(HEARTH_GROUP_PRODUCT("128", "f16", HEARTH_NAMES_64, "%64", "%65", "0, 0", "0")
                 : HEARTH_C8("+f", 0), HEARTH_C8("+f", 8)
                 : "l"(a), "l"(b));
  }
#endif
}

/// a in registers, as F16, and 64 columns. They belong to the product until it is done.
HEARTH_KERNEL void group_multiply(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      HEARTH_GROUP_PRODUCT("64", "f16", HEARTH_NAMES_32, "{%32, %33, %34, %35}", "%36", "0", "0")
      : HEARTH_C8("+f", 0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}

/// The same for c = a b.
HEARTH_KERNEL void group_multiply_first(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  asm volatile(
      HEARTH_GROUP_PRODUCT("64", "f16", HEARTH_NAMES_32, "{%32, %33, %34, %35}", "%36", "0", "1")
      : HEARTH_C8("=f", 0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#endif
}

#undef HEARTH_C1
#undef HEARTH_C8
#undef HEARTH_NAMES_32
#undef HEARTH_NAMES_64
#undef HEARTH_GROUP_PRODUCT

#else

template <typename Registers>
void hold(const Registers&) {}
inline void show_to_products() { emulator::show_to_products(); }
inline void group_arrive() { emulator::group_arrive(); }
inline void group_commit() { emulator::group_commit(); }
template <int kYoungest>
void group_wait() {
  emulator::group_wait(kYoungest);
}
template <bool kBf16, int kTiles>
void group_multiply(float (&c)[kTiles][4], uint64_t a, uint64_t b) {
  emulator::group_multiply({.c = c,
                            .tiles = kTiles,
                            .bf16 = kBf16,
                            .first = false,
                            .in_registers = false,
                            .a_at = a,
                            .b_at = b});
}
inline void group_multiply(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b,
                           bool first = false) {
  emulator::group_multiply({.c = c,
                            .tiles = 8,
                            .bf16 = false,
                            .first = first,
                            .in_registers = true,
                            .a = {a[0], a[1], a[2], a[3]},
                            .b_at = b});
}
inline void group_multiply_first(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b) {
  group_multiply(c, a, b, true);
}

#endif

/// kBatches products of 64 columns each, kTogether (1 or 2) at a time: begin(batch, c) starts one,
/// add(n, c[n]) gets each tile of it. Of two together, one is added while the other goes on.
template <int kBatches, int kTogether, typename Begin, typename Add>
HEARTH_KERNEL void multiply_in_batches(const Begin& begin, const Add& add) {
  static_assert(kTogether <= 2 && kBatches % kTogether == 0);
  HEARTH_UNROLL
  for (int first = 0; first < kBatches; first += kTogether) {
    float c[kTogether][8][4];
    group_arrive();
    HEARTH_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      begin(first + i, c[i]);
      group_commit();
    }
    HEARTH_UNROLL
    for (int i = 0; i < kTogether; ++i) {
      if (i + 1 < kTogether) group_wait<1>();
      if (i + 1 == kTogether) group_wait<0>();
      hold(c[i]);
      HEARTH_UNROLL
      for (int n = 0; n < 8; ++n) add((first + i) * 8 + n, c[i][n]);
    }
  }
}

}  // namespace hearth::kernels::simt
