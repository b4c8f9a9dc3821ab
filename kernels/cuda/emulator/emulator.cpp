#include "kernels/cuda/emulator/emulator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/emulator/fiber_stack.h"
#include "kernels/quant/half.h"

#if defined(__SANITIZE_ADDRESS__)
#define HEARTH_ASAN_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEARTH_ASAN_FIBERS 1
#endif
#endif
#if defined(HEARTH_ASAN_FIBERS)
#include <sanitizer/common_interface_defs.h>
#endif

namespace hearth::kernels::simt::emulator {
namespace {

constexpr int kLanes = 32;
constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kSharedAlignment = 1024;
constexpr size_t kGuardBytes = 256;  // behind the shared memory; must stay as they are
constexpr unsigned char kGuard = 0x5A;
constexpr unsigned char kGarbage = 0xCB;  // as f32 a large negative number, as f16 too

/// One step of a warp together: gets what each lane brought.
using Collective = void (*)(void* const* lanes);

enum class Wait { kNothing, kCta, kWarp, kEnd };

struct PendingCopy {
  void* to;
  const void* from;
  int bytes;
};

struct Fiber {
  FiberStack at;
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  Wait wait = Wait::kNothing;
  Collective collective = nullptr;
  void* brought = nullptr;
  std::vector<std::vector<PendingCopy>> groups;    // oldest first; the last one is open
  std::vector<std::vector<GroupProduct>> batches;  // as well
  bool waited = false;                             // for the kernel before this one
  bool arrived = false;                            // since the last batch
  bool hidden = false;                             // copies have come that products may not see yet
#if defined(HEARTH_ASAN_FIBERS)
  void* fake_stack = nullptr;
#endif
};

struct Machine {
  std::vector<Fiber> fibers;
  std::vector<int> order;
  std::vector<unsigned char> shared_storage;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  const std::function<void()>* thread = nullptr;
  FiberStack scheduler;
  Ctas cta;
  int current = -1;
  int64_t launches = 0;
  int64_t group_products = 0;
  Record* record = nullptr;
  Order wanted = Order::kForward;
  std::mt19937 random{1};
#if defined(HEARTH_ASAN_FIBERS)
  void* fake_stack = nullptr;
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_bytes = 0;
#endif
};

thread_local Machine machine;

Fiber& self() { return machine.fibers[static_cast<size_t>(machine.current)]; }

/// From a thread back to the scheduler, until it is chosen again.
void leave() {
  Fiber& fiber = self();
#if defined(HEARTH_ASAN_FIBERS)
  __sanitizer_start_switch_fiber(fiber.wait == Wait::kEnd ? nullptr : &fiber.fake_stack,
                                 machine.scheduler_stack, machine.scheduler_stack_bytes);
#endif
  fiber.at.switch_to(machine.scheduler);
#if defined(HEARTH_ASAN_FIBERS)
  __sanitizer_finish_switch_fiber(fiber.fake_stack, nullptr, nullptr);
#endif
}

void enter(int index) {
  machine.current = index;
  Fiber& fiber = self();
#if defined(HEARTH_ASAN_FIBERS)
  __sanitizer_start_switch_fiber(&machine.fake_stack, fiber.stack.get(), kStackBytes);
#endif
  machine.scheduler.switch_to(fiber.at);
#if defined(HEARTH_ASAN_FIBERS)
  __sanitizer_finish_switch_fiber(machine.fake_stack, nullptr, nullptr);
#endif
  machine.current = -1;
}

void thread_main() {
#if defined(HEARTH_ASAN_FIBERS)
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_stack,
                                  &machine.scheduler_stack_bytes);
#endif
  (*machine.thread)();
  HEARTH_CHECK(self().groups.size() <= 1 && (self().groups.empty() || self().groups[0].empty()),
               "a thread waits for its copies before it ends");
  HEARTH_CHECK(self().batches.empty(), "a thread waits for its products before it ends");
  self().wait = Wait::kEnd;
  leave();
}

void start(Fiber& fiber) {
  fiber.at.prepare(fiber.stack.get(), kStackBytes, thread_main);
  fiber.wait = Wait::kNothing;
  fiber.groups.clear();
  fiber.batches.clear();
  fiber.waited = false;
  fiber.arrived = false;
  fiber.hidden = false;
}

void arrange(int threads) {
  machine.order.resize(static_cast<size_t>(threads));
  std::iota(machine.order.begin(), machine.order.end(), 0);
  if (machine.wanted == Order::kBackward) std::ranges::reverse(machine.order);
  if (machine.wanted == Order::kShuffled) std::ranges::shuffle(machine.order, machine.random);
}

/// Does what a warp waits for, if all its lanes do. They go on then.
bool release_warp(size_t first) {
  std::vector<Fiber>& fibers = machine.fibers;
  const Collective collective = fibers[first].collective;
  void* brought[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const Fiber& fiber = fibers[first + lane];
    if (fiber.wait != Wait::kWarp) return false;
    HEARTH_CHECK(fiber.collective == collective, "all lanes of a warp do the same operation");
    brought[lane] = fiber.brought;
  }
  if (collective != nullptr) collective(brought);
  for (size_t lane = 0; lane < kLanes; ++lane) fibers[first + lane].wait = Wait::kNothing;
  return true;
}

void run_cta(int threads) {
  std::memset(machine.shared, kGarbage, machine.shared_bytes);
  std::memset(machine.shared + machine.shared_bytes, kGuard, kGuardBytes);
  const auto count = static_cast<size_t>(threads);
  for (size_t i = 0; i < count; ++i) start(machine.fibers[i]);
  while (true) {
    arrange(threads);
    bool moved = false;
    for (const int i : machine.order) {
      if (machine.fibers[static_cast<size_t>(i)].wait != Wait::kNothing) continue;
      enter(i);
      moved = true;
    }
    for (size_t first = 0; first < count; first += kLanes) moved |= release_warp(first);
    const auto waiting = [&](Wait wait) {
      return static_cast<size_t>(
          std::count_if(machine.fibers.begin(), machine.fibers.begin() + threads,
                        [wait](const Fiber& fiber) { return fiber.wait == wait; }));
    };
    if (waiting(Wait::kEnd) == count) break;
    if (waiting(Wait::kCta) == count) {
      for (size_t i = 0; i < count; ++i) machine.fibers[i].wait = Wait::kNothing;
      moved = true;
    }
    HEARTH_CHECK(moved, "threads wait for others that have ended or wait elsewhere");
  }
  for (size_t i = 0; i < kGuardBytes; ++i)
    HEARTH_CHECK(machine.shared[machine.shared_bytes + i] == kGuard,
                 "a kernel writes inside its shared memory");
}

/// Waits until all lanes of the warp came here; then `collective` has run on what they brought.
void meet_warp(Collective collective, void* brought) {
  Fiber& fiber = self();
  fiber.wait = Wait::kWarp;
  fiber.collective = collective;
  fiber.brought = brought;
  leave();
}

struct Shuffle {
  uint32_t in;
  uint32_t out;
  int from;
};

void do_shuffle(void* const* lanes) {
  for (int lane = 0; lane < kLanes; ++lane) {
    auto& to = *static_cast<Shuffle*>(lanes[lane]);
    to.out = static_cast<const Shuffle*>(lanes[to.from])->in;
  }
}

struct MatrixLoad {
  const void* row;
  bool transposed;
  uint32_t* words;
};

void do_load_matrices(void* const* lanes) {
  const auto value = [lanes](int matrix, int row, int column) {
    const auto& from = *static_cast<const MatrixLoad*>(lanes[matrix * 8 + row]);
    return uint32_t{static_cast<const uint16_t*>(from.row)[column]};
  };
  for (int lane = 0; lane < kLanes; ++lane) {
    const auto& to = *static_cast<const MatrixLoad*>(lanes[lane]);
    const int row = lane / 4;
    const int pair = lane % 4 * 2;
    for (int m = 0; m < 4; ++m)
      to.words[m] = to.transposed ? value(m, pair, row) | value(m, pair + 1, row) << 16
                                  : value(m, row, pair) | value(m, row, pair + 1) << 16;
  }
}

struct Product {
  float* c;
  const uint32_t* a;
  const uint32_t* b;
};

/// c += a b. `term(a, b)` is the dot product of two words. Word `word` of a lane: rows row and
/// row + 8 take turns, then the halves of k.
template <typename Term>
void multiply(void* const* lanes, Term term) {
  const auto lane_of = [lanes](int row, int quad) -> const Product& {
    return *static_cast<const Product*>(lanes[row * 4 + quad]);
  };
  for (int lane = 0; lane < kLanes; ++lane) {
    float* c = static_cast<const Product*>(lanes[lane])->c;
    for (int i = 0; i < 4; ++i) {
      const int column = lane % 4 * 2 + i % 2;
      double sum = 0.0;
      for (int half = 0; half < 2; ++half)
        for (int quad = 0; quad < 4; ++quad)
          sum += term(lane_of(lane / 4, quad).a[half * 2 + i / 2], lane_of(column, quad).b[half]);
      c[i] = static_cast<float>(static_cast<double>(c[i]) + sum);
    }
  }
}

template <float (*kToFloat)(uint16_t)>
double dot_halves(uint32_t a, uint32_t b) {
  double sum = 0.0;
  for (int i = 0; i < 32; i += 16)
    sum += static_cast<double>(kToFloat(static_cast<uint16_t>(a >> i))) *
           kToFloat(static_cast<uint16_t>(b >> i));
  return sum;
}

/// Value k of row `row` of an operand in shared memory, as the descriptor says.
uint32_t value_at(uint64_t descriptor, int row, int k) {
  const bool wide = descriptor >> 62 == 1;
  HEARTH_CHECK((wide || descriptor >> 62 == 3) && (descriptor >> 49 & 7U) == 0,
               "operands are swizzled, and begin where the pattern does");
  const auto in_16_bytes = [descriptor](int bit) {
    return static_cast<size_t>(descriptor >> bit & 0x3FFFU) * 16;
  };
  const auto of_row = static_cast<size_t>(row);
  size_t at = in_16_bytes(0) + of_row / 8 * in_16_bytes(32) + of_row % 8 * (wide ? 128 : 32) +
              static_cast<size_t>(k) * 2;
  at ^= (at >> 7 & (wide ? 7U : 1U)) << 4;
  HEARTH_CHECK(at + 2 <= machine.shared_bytes, "operands of products lie in shared memory");
  uint16_t value;
  std::memcpy(&value, machine.shared + at, sizeof(value));
  return value;
}

uint32_t two_values_at(uint64_t descriptor, int row, int k) {
  return value_at(descriptor, row, k) | value_at(descriptor, row, k + 1) << 16;
}

/// A warp's rows of a product, tile by tile as of the products of a warp.
void do_group_product(void* const* lanes) {
  uint32_t b[kLanes][2];
  Product products[kLanes];
  void* of_lanes[kLanes];
  const auto product_of = [lanes](int lane) { return static_cast<GroupProduct*>(lanes[lane]); };
  const GroupProduct& first = *product_of(0);
  for (int lane = 0; lane < kLanes && !first.in_registers; ++lane)
    for (int i = 0; i < 4; ++i)
      product_of(lane)->a[i] = two_values_at(first.a_at, first.warp * 16 + lane / 4 + i % 2 * 8,
                                             lane % 4 * 2 + i / 2 * 8);
  for (int n = 0; n < first.tiles; ++n) {
    for (int lane = 0; lane < kLanes; ++lane) {
      for (int half = 0; half < 2; ++half)
        b[lane][half] = two_values_at(first.b_at, n * 8 + lane / 4, lane % 4 * 2 + half * 8);
      if (first.first) std::fill_n(product_of(lane)->c[n], 4, 0.0F);
      products[lane] = {product_of(lane)->c[n], product_of(lane)->a, b[lane]};
      of_lanes[lane] = &products[lane];
    }
    if (first.bf16) {
      multiply(of_lanes, dot_halves<bf16_to_f32>);
    } else {
      multiply(of_lanes, dot_halves<f16_to_f32>);
    }
  }
}

}  // namespace

void set_order(Order order) { machine.wanted = order; }
void launch(Ctas ctas, int threads, size_t shared_bytes, std::function<void()> thread) {
  if (machine.record == nullptr) {
    run(ctas, threads, shared_bytes, thread);
    return;
  }
  machine.record->push_back([ctas, threads, shared_bytes, thread = std::move(thread)] {
    run(ctas, threads, shared_bytes, thread);
  });
}

void record_to(Record* record) { machine.record = record; }
Record* recording() { return machine.record; }

int64_t launches() { return machine.launches; }
int64_t group_products() { return machine.group_products; }

void run(Ctas ctas, int threads, size_t shared_bytes, const std::function<void()>& thread) {
  HEARTH_CHECK(machine.current < 0, "a kernel does not launch another one");
  ++machine.launches;
  machine.thread = &thread;
  machine.shared_bytes = shared_bytes;
  machine.shared_storage.resize(shared_bytes + kGuardBytes + kSharedAlignment);
  auto at = reinterpret_cast<uintptr_t>(machine.shared_storage.data());
  machine.shared =
      machine.shared_storage.data() + (kSharedAlignment - at % kSharedAlignment) % kSharedAlignment;
  if (machine.fibers.size() < static_cast<size_t>(threads))
    machine.fibers.resize(static_cast<size_t>(threads));
  for (int z = 0; z < ctas.z; ++z)
    for (int y = 0; y < ctas.y; ++y)
      for (int x = 0; x < ctas.x; ++x) {
        machine.cta = {x, y, z};
        run_cta(threads);
      }
}

int thread_index() { return machine.current; }
Ctas cta_index() { return machine.cta; }
unsigned char* shared_memory() { return machine.shared; }

void sync_cta() {
  self().wait = Wait::kCta;
  leave();
}

void sync_warp() { meet_warp(nullptr, nullptr); }

uint32_t shuffle_bits(uint32_t value, int from) {
  HEARTH_CHECK(from >= 0 && from < kLanes, "a shuffle reads a lane of its warp");
  Shuffle shuffle{value, 0, from};
  meet_warp(do_shuffle, &shuffle);
  return shuffle.out;
}

void copy_async(void* shared, const void* global, int bytes) {
  const auto alignment = static_cast<uintptr_t>(bytes);
  HEARTH_CHECK(reinterpret_cast<uintptr_t>(shared) % alignment == 0 &&
                   reinterpret_cast<uintptr_t>(global) % alignment == 0,
               "an asynchronous copy is aligned to its size");
  auto& groups = self().groups;
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back({shared, global, bytes});
}

void copy_async_commit() {
  auto& groups = self().groups;
  if (groups.empty()) groups.emplace_back();
  groups.emplace_back();
}

void copy_async_wait(int youngest) {
  auto& groups = self().groups;
  while (groups.size() > static_cast<size_t>(youngest) + 1) {
    for (const PendingCopy& copy : groups.front())
      std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
    self().hidden |= !groups.front().empty();
    groups.erase(groups.begin());
  }
}

void load_matrices(uint32_t (&words)[4], const void* row, bool transposed) {
  const auto* at = static_cast<const unsigned char*>(row);
  HEARTH_CHECK(reinterpret_cast<uintptr_t>(at) % 16 == 0 && at >= machine.shared &&
                   at + 16 <= machine.shared + machine.shared_bytes,
               "rows of matrices are aligned to 16 bytes of shared memory");
  uint32_t loaded[4];
  MatrixLoad load{row, transposed, loaded};
  meet_warp(do_load_matrices, &load);
  std::copy_n(loaded, 4, words);
}

void mma_f16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Product product{c, a, b};
  meet_warp([](void* const* lanes) { multiply(lanes, dot_halves<f16_to_f32>); }, &product);
}

void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  Product product{c, a, b};
  meet_warp([](void* const* lanes) { multiply(lanes, dot_halves<bf16_to_f32>); }, &product);
}

void wait_for_previous() { self().waited = true; }
void check_waited() {
  HEARTH_CHECK(self().waited, "every thread waits for the kernel before this one");
}

void show_to_products() { self().hidden = false; }

void group_arrive() { self().arrived = true; }

void group_multiply(const GroupProduct& product) {
  ++machine.group_products;
  HEARTH_CHECK(self().arrived, "warps arrive before their products");
  for (const int thread : machine.order)
    HEARTH_CHECK(!machine.fibers[static_cast<size_t>(thread)].hidden,
                 "copies are shown to products before a barrier");
  auto& batches = self().batches;
  if (batches.empty()) batches.emplace_back();
  batches.back().push_back(product);
  batches.back().back().warp = machine.current / kLanes % 4;
}

void group_commit() { self().batches.emplace_back(); }

void group_wait(int youngest) {
  self().arrived = false;
  auto& batches = self().batches;
  while (batches.size() > static_cast<size_t>(youngest) + 1) {
    for (GroupProduct& product : batches.front()) meet_warp(do_group_product, &product);
    batches.erase(batches.begin());
  }
  if (batches.size() == 1 && batches.front().empty()) batches.clear();
}

}  // namespace hearth::kernels::simt::emulator
