#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace hearth::kernels {

/// The CPU backend's own threads: pinned, spinning briefly between ops, asleep when idle.
/// One caller at a time. Results of ops do not depend on the pool's size.
class ThreadPool {
 public:
  /// `num_threads` >= 1 counts the caller, which works too. With `pin`, thread i is bound to the
  /// i-th CPU that the constructing thread may use; the caller (thread 0) at its first run, until
  /// it destroys the pool. With more threads than CPUs nobody is bound, and waiting threads sleep
  /// at once. Throws std::system_error if the system has no more threads.
  explicit ThreadPool(int num_threads, bool pin = true);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int num_threads() const;

  /// Runs body(context, thread_index, num_threads) once on every thread and waits for all. The
  /// body neither throws nor calls run().
  using Body = void (*)(void* context, int thread_index, int num_threads);
  void run(Body body, void* context);

  /// run() for a callable `f(thread_index, num_threads)`; allocates nothing.
  template <typename F>
  void run(F&& f) {
    using Callable = std::remove_reference_t<F>;
    run([](void* context, int index,
           int count) { (*static_cast<Callable*>(context))(index, count); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The slice [begin, end) of `count` items that thread `index` of `threads` takes, in units of
/// `grain` items (the last slice may be shorter). Slices are contiguous and in thread order.
struct Slice {
  int64_t begin;
  int64_t end;
};
Slice thread_slice(int64_t count, int64_t grain, int index, int threads);

}  // namespace hearth::kernels
