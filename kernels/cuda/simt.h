#pragma once
// What kernels say to the GPU: the index of a thread, barriers, shuffles, tensor-core products,
// copies into shared memory. Kernels are written against these names alone, so that the very same
// source runs on the device and, by kernels/cuda/emulator/emulator.h, thread by thread on the host,
// where tests compare it with the reference on machines without a GPU.
//
// A kernel is a struct:
//   struct FooKernel {
//     using Args = FooArgs;                      // a plain struct, at most 4 KiB
//     static constexpr int kThreads = 256;       // of a cta, a multiple of 32
//     static HEARTH_KERNEL void run(const Args& args);
//     static constexpr bool kBeginsEarly = true; // optional, see wait_for_previous()
//   };
// and simt::launch<FooKernel>(context, ctas, shared_bytes, args) runs it.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/op_context.h"
#include "kernels/quant/half.h"

#if defined(__CUDACC__)
#define HEARTH_KERNEL __device__ __forceinline__
#define HEARTH_SIMT cuda  // the namespace of kernels and ops
#define HEARTH_UNROLL _Pragma("unroll")
#define HEARTH_NO_UNROLL _Pragma("unroll 1")
#include <cuda_runtime.h>
#else
#define HEARTH_KERNEL inline
#define HEARTH_SIMT emulated
#define HEARTH_UNROLL
#define HEARTH_NO_UNROLL
#include "kernels/cuda/emulator/emulator.h"
#endif

namespace hearth::kernels::simt {

inline constexpr int kWarp = 32;

/// 16 bytes that one instruction loads.
struct alignas(16) Vec16 {
  uint32_t word[4];
};

#if defined(__CUDACC__)

HEARTH_KERNEL int thread_index() { return static_cast<int>(threadIdx.x); }
HEARTH_KERNEL Ctas cta_index() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)};
}
HEARTH_KERNEL void sync_cta() { __syncthreads(); }
HEARTH_KERNEL void sync_warp() { __syncwarp(); }
/// Ends the process: the kernel is none for this device.
HEARTH_KERNEL void stop() { __trap(); }

/// The value of lane `lane ^ mask`.
template <typename T>
HEARTH_KERNEL T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, mask);
}

/// The value of lane `lane`.
template <typename T>
HEARTH_KERNEL T shuffle(T value, int lane) {
  return __shfl_sync(0xFFFFFFFFU, value, lane);
}

/// The cta's dynamic shared memory, aligned to 1024 bytes; `launch` says how much there is.
HEARTH_KERNEL unsigned char* shared_memory() {
  extern __shared__ __align__(1024) unsigned char hearth_shared[];
  return hearth_shared;
}

#else

inline int thread_index() { return emulator::thread_index(); }
inline Ctas cta_index() { return emulator::cta_index(); }
inline void sync_cta() { emulator::sync_cta(); }
inline void sync_warp() { emulator::sync_warp(); }
inline void stop() { std::abort(); }
template <typename T>
T shuffle_xor(T value, int mask) {
  static_assert(sizeof(T) == 4);
  return emulator::shuffle_xor(value, mask);
}
template <typename T>
T shuffle(T value, int lane) {
  static_assert(sizeof(T) == 4);
  return emulator::shuffle(value, lane);
}
inline unsigned char* shared_memory() { return emulator::shared_memory(); }

#endif

HEARTH_KERNEL int lane_index() { return thread_index() % kWarp; }
HEARTH_KERNEL int warp_index() { return thread_index() / kWarp; }

/// The sum over a warp, by halves: the same bits in every lane.
HEARTH_KERNEL float warp_sum(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
}

HEARTH_KERNEL float warp_max(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value = fmaxf(value, shuffle_xor(value, mask));
  return value;
}

/// The sum over a cta of kThreads threads: by halves in each warp, then over the warps in order.
/// `scratch` has room for kThreads / 32 floats and is free again when all have returned.
template <int kThreads>
HEARTH_KERNEL float cta_sum(float value, float* scratch) {
  const float of_warp = warp_sum(value);
  if (lane_index() == 0) scratch[warp_index()] = of_warp;
  sync_cta();
  float sum = 0.0F;
  for (int warp = 0; warp < kThreads / kWarp; ++warp) sum += scratch[warp];
  sync_cta();
  return sum;
}

// ---- Bits.

#if defined(__CUDACC__)

HEARTH_KERNEL float half_to_float(uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}
/// Two values rounded to nearest even, as f32_to_f16 and f32_to_bf16; the first in the low half.
HEARTH_KERNEL uint32_t pack_f16(float first, float second) {
  uint32_t word;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
#else
  uint16_t half[2];
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half[0]) : "f"(first));
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half[1]) : "f"(second));
  word = half[0] | static_cast<uint32_t>(half[1]) << 16;
#endif
  return word;
}
HEARTH_KERNEL uint32_t pack_bf16(float first, float second) {
#if __CUDA_ARCH__ >= 800
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  return word;
#else
  return f32_to_bf16(first) | static_cast<uint32_t>(f32_to_bf16(second)) << 16;
#endif
}
/// Bytes of {b, a} by selector: half-byte i of it, 0 to 7, names what becomes byte i.
HEARTH_KERNEL uint32_t byte_permute(uint32_t a, uint32_t b, uint32_t selector) {
  return __byte_perm(a, b, selector);
}
/// The differences of two pairs of f16.
HEARTH_KERNEL uint32_t subtract_f16(uint32_t a, uint32_t b) {
  asm("sub.f16x2 %0, %0, %1;" : "+r"(a) : "r"(b));
  return a;
}
/// a b + c of two pairs of f16, rounded once.
HEARTH_KERNEL uint32_t fma_f16(uint32_t a, uint32_t b, uint32_t c) {
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(c) : "r"(a), "r"(b), "r"(c));
  return c;
}
/// Two f16 brought to finite values: infinities to the largest, NaN to anything finite.
HEARTH_KERNEL uint32_t finite_halves(uint32_t halves) {
#if __CUDA_ARCH__ >= 800
  asm("min.f16x2 %0, %0, %1;" : "+r"(halves) : "r"(0x7BFF7BFFU));  // of a number and a NaN the
  asm("max.f16x2 %0, %0, %1;" : "+r"(halves) : "r"(0xFBFFFBFFU));  // number wins
#else
  if ((halves & 0x7C00U) == 0x7C00U) halves = (halves & 0xFFFF8000U) | 0x7BFFU;
  if ((halves & 0x7C000000U) == 0x7C000000U) halves = (halves & 0x8000FFFFU) | 0x7BFF0000U;
#endif
  return halves;
}

#else

inline float half_to_float(uint16_t half) { return f16_to_f32(half); }
inline uint32_t pack_f16(float first, float second) {
  return f32_to_f16(first) | static_cast<uint32_t>(f32_to_f16(second)) << 16;
}
inline uint32_t pack_bf16(float first, float second) {
  return f32_to_bf16(first) | static_cast<uint32_t>(f32_to_bf16(second)) << 16;
}
inline uint32_t subtract_f16(uint32_t a, uint32_t b) {
  return pack_f16(half_to_float(static_cast<uint16_t>(a)) - half_to_float(static_cast<uint16_t>(b)),
                  half_to_float(static_cast<uint16_t>(a >> 16)) -
                      half_to_float(static_cast<uint16_t>(b >> 16)));
}
inline uint32_t fma_f16(uint32_t a, uint32_t b, uint32_t c) {
  float out[2];
  for (int i = 0; i < 2; ++i) {
    const auto half = [i](uint32_t pair) {
      return half_to_float(static_cast<uint16_t>(pair >> (16 * i)));
    };
    out[i] = std::fma(half(a), half(b), half(c));
  }
  return pack_f16(out[0], out[1]);
}
inline uint32_t finite_halves(uint32_t halves) {
  if ((halves & 0x7C00U) == 0x7C00U) halves = (halves & 0xFFFF8000U) | 0x7BFFU;
  if ((halves & 0x7C000000U) == 0x7C000000U) halves = (halves & 0x8000FFFFU) | 0x7BFF0000U;
  return halves;
}
inline uint32_t byte_permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t out = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t from = selector >> (4 * i) & 7U;
    out |= static_cast<uint32_t>(bytes >> (8 * from) & 0xFFU) << (8 * i);
  }
  return out;
}

#endif

// ---- Copies from global to shared memory that go on while the thread computes. All of a thread's
// copies since the last commit are a group; wait<N> returns when all but the N youngest groups are
// done. A barrier then shows them to the other threads. Where the device has no such copies
// (sm_75), they are done at once.

#if defined(__CUDACC__)

template <int kBytes>
HEARTH_KERNEL void copy_async(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 16);
#if __CUDA_ARCH__ >= 800
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
  }
#else
  if constexpr (kBytes == 16) {
    *static_cast<Vec16*>(shared) = *static_cast<const Vec16*>(global);
  } else {
    *static_cast<uint32_t*>(shared) = *static_cast<const uint32_t*>(global);
  }
#endif
}

HEARTH_KERNEL void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int kYoungest>
HEARTH_KERNEL void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kYoungest) : "memory");
#endif
}

#else

template <int kBytes>
void copy_async(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 16);
  emulator::copy_async(shared, global, kBytes);
}
inline void copy_async_commit() { emulator::copy_async_commit(); }
template <int kYoungest>
void copy_async_wait() {
  emulator::copy_async_wait(kYoungest);
}

#endif

// ---- Four matrices of 8 x 8 16-bit values from shared memory to the registers of a warp. Lane l
// brings the address, aligned to 16 bytes, of row l % 8 of matrix l / 8; with row = lane / 4 and
// quad = lane % 4, word m of a lane then is (PTX ISA, "ldmatrix"):
//   load_matrices: values 2 quad and 2 quad + 1 of row `row` of matrix m
//   load_matrices_transposed: value `row` of rows 2 quad and 2 quad + 1 of matrix m

#if defined(__CUDACC__)

HEARTH_KERNEL void load_matrices(uint32_t (&words)[4], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(from)
               : "memory");
}
HEARTH_KERNEL void load_matrices_transposed(uint32_t (&words)[4], const void* row) {
  const auto from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(from)
               : "memory");
}

#else

inline void load_matrices(uint32_t (&words)[4], const void* row) {
  emulator::load_matrices(words, row, false);
}
inline void load_matrices_transposed(uint32_t (&words)[4], const void* row) {
  emulator::load_matrices(words, row, true);
}

#endif

// ---- Tensor cores: c += a b for a warp. a is [16, k] (rows: outputs), b is [k, 8], c is [16, 8],
// k = 16. With row = lane / 4 and quad = lane % 4, a lane holds (PTX ISA, "Matrix Fragments"):
//   c[0], c[1]: row `row`, columns 2 quad and 2 quad + 1; c[2], c[3]: the same of row `row + 8`
//   a[0]: row `row`, k = 2 quad, +1; a[1]: row + 8; a[2], a[3]: the same, k + 8
//   b[0]: column `row`, k = 2 quad, +1; b[1]: k + 8
// The order of summation is the hardware's own, the same for each column whatever the others hold.
// F16 may be subnormal.

#if defined(__CUDACC__)

HEARTH_KERNEL void mma_f16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  for (int half = 0; half < 2; ++half) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
  }
#endif
}

/// c = a b.
HEARTH_KERNEL void mma_f16_first(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%10,%10,%10};"
      : "=f"(c[0]), "=f"(c[1]), "=f"(c[2]), "=f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(0.0F));
#else
  for (float& value : c) value = 0.0F;
  mma_f16(c, a, b);
#endif
}

/// Only where the device has it: sm_80 and later.
HEARTH_KERNEL void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  stop();
#endif
}

#else

inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::mma_bf16(c, a, b);
}
inline void mma_f16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulator::mma_f16(c, a, b);
}
inline void mma_f16_first(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  for (float& value : c) value = 0.0F;
  emulator::mma_f16(c, a, b);
}

#endif

// ---- Kernels one after the other. On 9.0 the threads of a kernel begin when all of the one before
// it have begun and there is room (PTX ISA, "griddepcontrol"). They wait for its end before
// anything else, unless the kernel is kBeginsEarly: then it fetches what no kernel writes, weights,
// and every one of its threads calls wait_for_previous() before it reads or writes anything else.
// So a kernel ends after all before it.

#if defined(__CUDACC__)

HEARTH_KERNEL void let_next_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
/// Until all kernels before this one have ended and what they wrote is there. May be called again.
HEARTH_KERNEL void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

#else

inline void let_next_begin() {}
inline void wait_for_previous() { emulator::wait_for_previous(); }

#endif

/// What a thread of a launch does.
template <typename Kernel>
HEARTH_KERNEL void run_kernel(const typename Kernel::Args& args) {
  let_next_begin();
  if constexpr (!requires { Kernel::kBeginsEarly; }) wait_for_previous();
  Kernel::run(args);
}

// ---- Launching.

#if defined(__CUDACC__)

/// Ctas that shall share a multiprocessor's registers: Kernel::kCtas, where it says so.
template <typename Kernel>
constexpr int ctas_wanted() {
  if constexpr (requires { Kernel::kCtas; }) {
    return Kernel::kCtas;
  } else {
    return 1;
  }
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, ctas_wanted<Kernel>())
    entry(const __grid_constant__ typename Kernel::Args args) {
  run_kernel<Kernel>(args);
}

/// Runs the kernel on the context's stream. No grid dimension may be zero.
template <typename Kernel>
void launch(const ExecContext& context, Ctas ctas, size_t shared_bytes,
            const typename Kernel::Args& args) {
  static_assert(sizeof(typename Kernel::Args) <= 4096 && Kernel::kThreads % kWarp == 0);
  const OpContext& op = op_context(context);
  check_launch(op, ctas, shared_bytes);
  if (shared_bytes > kSharedBytesUnasked) {
    // Once on each device. One thread launches.
    static uint64_t granted = 0;
    const uint64_t bit = uint64_t{1} << op.device;
    if ((granted & bit) == 0) {
      check_cuda(cudaFuncSetAttribute(entry<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(op.shared_bytes_per_cta)),
                 "cudaFuncSetAttribute");
      granted |= bit;
    }
  }
  const dim3 grid(static_cast<unsigned>(ctas.x), static_cast<unsigned>(ctas.y),
                  static_cast<unsigned>(ctas.z));
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(Kernel::kThreads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(op.stream);
  config.attrs = &early;
  config.numAttrs = op.begins_early ? 1 : 0;
  static_cast<void>(cudaLaunchKernelEx(&config, entry<Kernel>, args));
  const int error = cudaGetLastError();
  if (op.capture_error == nullptr) {
    check_cuda(error, "kernel launch");
  } else if (*op.capture_error == cudaSuccess) {
    *op.capture_error = error;
  }
}

#else

template <typename Kernel>
void launch(const ExecContext& context, Ctas ctas, size_t shared_bytes,
            const typename Kernel::Args& args) {
  static_assert(sizeof(typename Kernel::Args) <= 4096 && Kernel::kThreads % kWarp == 0);
  check_launch(op_context(context), ctas, shared_bytes);
  emulator::launch(ctas, Kernel::kThreads, shared_bytes, [args] {
    run_kernel<Kernel>(args);
    emulator::check_waited();
  });
}

#endif

}  // namespace hearth::kernels::simt
