#include "kernels/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/check.h"
#include "base/log.h"

namespace hearth::kernels {
namespace {

// The ops of one step follow each other within a few microseconds, a futex wake costs about as
// much as a small op: waiting this long awake bridges the gaps inside a step, and sleeps in the
// gaps between requests.
constexpr std::chrono::microseconds kSpinTime{40};
// Reading the clock costs as much as a few pauses; asking this seldom keeps it out of the loop.
constexpr int kPausesPerClockRead = 32;

// What this thread might run on before a pool bound it; empty when none has.
thread_local std::optional<cpu_set_t> unbound_mask;

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// The CPUs this thread may use, in order. A mask that a pool has put on it does not count.
std::vector<int> allowed_cpus() {
  cpu_set_t mask;
  if (unbound_mask) {
    mask = *unbound_mask;
  } else if (sched_getaffinity(0, sizeof mask, &mask) != 0) {
    return {};  // more CPUs than cpu_set_t holds: leave the placing to the system
  }
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask)) cpus.push_back(cpu);
  return cpus;
}

bool bind_this_thread(int cpu) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CPU_SET(cpu, &mask);
  return pthread_setaffinity_np(pthread_self(), sizeof mask, &mask) == 0;
}

}  // namespace

// Owns the worker threads 1 … num_threads - 1. A run is announced by a new generation number and
// over when `pending` is back at zero; both are on cache lines of their own, for every thread
// watches the first and writes the second.
struct ThreadPool::Impl {
  int num_threads;
  std::vector<int> cpus;  // thread i is bound to cpus[i]; empty: nobody is bound
  bool spin = true;
  std::vector<std::thread> threads;

  Body body = nullptr;  // of the current run; published by `generation`
  void* context = nullptr;
  bool stop = false;
  std::optional<std::thread::id> bound_caller;

  alignas(64) std::atomic<uint32_t> generation{0};
  alignas(64) std::atomic<int> pending{0};
  alignas(64) std::atomic<bool> running{false};

  Impl(int count, bool pin) : num_threads(count) {
    const std::vector<int> allowed = allowed_cpus();
    // With more threads than CPUs a waiting thread only takes the CPU from a working one, and the
    // scheduler shares them out better than fixed places would.
    spin = allowed.empty() || static_cast<size_t>(count) <= allowed.size();
    if (pin && spin && !allowed.empty()) cpus.assign(allowed.begin(), allowed.begin() + count);
  }

  ~Impl() {
    stop = true;
    generation.fetch_add(1);
    generation.notify_all();
    for (std::thread& thread : threads) thread.join();
    unbind_caller();
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void start() {
    // Signals are for the process's own threads, never for one that computes.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    threads.reserve(static_cast<size_t>(num_threads - 1));
    try {
      for (int i = 1; i < num_threads; ++i) threads.emplace_back([this, i] { work(i); });
    } catch (...) {  // no more threads to be had: the destructor joins those there are
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void bind(int index) const {
    if (cpus.empty() || bind_this_thread(cpus[static_cast<size_t>(index)])) return;
    spdlog::warn("thread {} of the kernels could not be bound to CPU {}", index,
                 cpus[static_cast<size_t>(index)]);
  }

  void bind_caller() {
    if (cpus.empty() || bound_caller == std::this_thread::get_id()) return;
    if (!unbound_mask) {
      cpu_set_t mask;
      if (sched_getaffinity(0, sizeof mask, &mask) == 0) unbound_mask = mask;
    }
    bind(0);
    bound_caller = std::this_thread::get_id();
  }

  // Only a thread itself has its old mask: a pool destroyed elsewhere leaves its caller bound.
  void unbind_caller() {
    if (bound_caller != std::this_thread::get_id() || !unbound_mask) return;
    pthread_setaffinity_np(pthread_self(), sizeof *unbound_mask, &*unbound_mask);
    unbound_mask.reset();
  }

  // Returns when `value` is no longer `old`: awake at first, then asleep.
  template <typename T>
  void wait_while(const std::atomic<T>& value, T old) const {
    if (spin) {
      const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
      do {
        for (int i = 0; i < kPausesPerClockRead; ++i) {
          if (value.load(std::memory_order_acquire) != old) return;
          pause_cpu();
        }
      } while (std::chrono::steady_clock::now() < deadline);
    }
    value.wait(old, std::memory_order_acquire);
  }

  void work(int index) noexcept {
    char name[16];
    std::snprintf(name, sizeof name, "kernels-%d", index);
    pthread_setname_np(pthread_self(), name);
    bind(index);
    for (uint32_t seen = 0;;) {
      wait_while(generation, seen);
      if (stop) return;
      ++seen;  // the caller waits for everybody: no generation can be skipped
      body(context, index, num_threads);
      if (pending.fetch_sub(1) == 1) pending.notify_one();
    }
  }

  void run(Body run_body, void* run_context) noexcept {
    HEARTH_CHECK(!running.exchange(true, std::memory_order_acquire),
                 "a thread pool has one caller at a time");
    bind_caller();
    body = run_body;
    context = run_context;
    pending.store(num_threads - 1, std::memory_order_relaxed);
    generation.fetch_add(1);
    generation.notify_all();
    run_body(run_context, 0, num_threads);
    for (int left = pending.load(std::memory_order_acquire); left != 0;
         left = pending.load(std::memory_order_acquire))
      wait_while(pending, left);
    running.store(false, std::memory_order_release);
  }
};

ThreadPool::ThreadPool(int num_threads, bool pin) {
  HEARTH_CHECK(num_threads >= 1, "a thread pool has at least its caller");
  impl_ = std::make_unique<Impl>(num_threads, pin);
  impl_->start();
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::num_threads() const { return impl_->num_threads; }

void ThreadPool::run(Body body, void* context) { impl_->run(body, context); }

Slice thread_slice(int64_t count, int64_t grain, int index, int threads) {
  const int64_t units = (count + grain - 1) / grain;
  return {std::min(units * index / threads * grain, count),
          std::min(units * (index + 1) / threads * grain, count)};
}

}  // namespace hearth::kernels
