#pragma once
// Runs a kernel on the host, thread by thread: the machine that kernels/cuda/simt.h speaks to where
// there is no GPU. For tests. Each thread of a cta is a fiber that runs until it must wait for
// others: at a barrier, a shuffle, a tensor-core product. It stops the process where a device would
// hang or read garbage silently: threads that end or wait elsewhere while others wait, lanes of a
// warp at different operations, writes beyond the cta's shared memory. Shared memory begins as
// garbage; asynchronous copies happen as late as their waits allow.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cuda/op_context.h"

namespace hearth::kernels::simt::emulator {

/// The order in which the threads of a cta run between barriers. A kernel whose bits depend on it
/// has a race.
enum class Order { kForward, kBackward, kShuffled };
void set_order(Order order);

/// Calls `thread` for each thread of each cta, ctas one after the other.
void run(Ctas ctas, int threads, size_t shared_bytes, const std::function<void()>& thread);
/// run(), or, while recording, run() at each replay.
void launch(Ctas ctas, int threads, size_t shared_bytes, std::function<void()> thread);

/// What was to be done, in order.
using Record = std::vector<std::function<void()>>;
/// Launches of this thread go to `record` from now on; null: they run again.
void record_to(Record* record);
/// Where they go, or null.
Record* recording();

/// Launches that have run since the program began.
int64_t launches();
/// Products of warpgroups that threads have begun since then.
int64_t group_products();

// What a thread can ask for, inside run().
int thread_index();
Ctas cta_index();
unsigned char* shared_memory();
void sync_cta();
void sync_warp();
/// The value that lane `from` brought.
uint32_t shuffle_bits(uint32_t value, int from);
void copy_async(void* shared, const void* global, int bytes);
void copy_async_commit();
void copy_async_wait(int youngest);
void wait_for_previous();
/// Stops where this thread has not called it.
void check_waited();
void load_matrices(uint32_t (&words)[4], const void* row, bool transposed);
void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_f16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

/// A product of kernels/cuda/warpgroup.h. It is computed when it is waited for.
struct GroupProduct {
  float (*c)[4];  // [tiles]
  int tiles;
  bool bf16;
  bool first;         // overwrites c
  bool in_registers;  // a is, else it lies at a_at
  uint32_t a[4] = {};
  uint64_t a_at = 0;
  uint64_t b_at = 0;
  int warp = 0;  // of the warpgroup
};
void show_to_products();
void group_arrive();
void group_multiply(const GroupProduct& product);
void group_commit();
void group_wait(int youngest);

template <typename T>
T shuffle(T value, int from) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  bits = shuffle_bits(bits, from);
  __builtin_memcpy(&value, &bits, sizeof(bits));
  return value;
}
template <typename T>
T shuffle_xor(T value, int mask) {
  return shuffle(value, thread_index() % 32 ^ mask);
}

}  // namespace hearth::kernels::simt::emulator
