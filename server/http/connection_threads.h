#pragma once
// Threads that grow with the open connections and retire when idle.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace hearth::http {

/// A connection keeps its thread for its life, so a fixed pool would let a few idle clients shut
/// out the rest. Members may be called by any thread, join() by one.
class ConnectionThreads {
 public:
  explicit ConnectionThreads(int32_t max_threads) : max_threads_(max_threads) {}
  ~ConnectionThreads();
  ConnectionThreads(const ConnectionThreads&) = delete;
  ConnectionThreads& operator=(const ConnectionThreads&) = delete;

  /// Runs `job` on a thread of its own. False, and `job` is not run, if all threads are taken or
  /// the system gives no further one.
  [[nodiscard]] bool run(std::function<void()> job);

  /// Waits until all jobs have ended and ends the threads; run() refuses from now on.
  void join();

  [[nodiscard]] size_t count() const;

 private:
  using Thread = std::list<std::thread>::iterator;

  void work(Thread self);
  bool take(std::unique_lock<std::mutex>& lock, std::function<void()>& job);
  void join_retired();

  const int32_t max_threads_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // each for a thread counted in idle_
  std::list<std::thread> threads_;
  std::list<std::thread> retired_;  // ended or about to; to be joined
  size_t idle_ = 0;
  bool joining_ = false;
};

}  // namespace hearth::http
