#include "server/http/connection_threads.h"

#include <chrono>
#include <system_error>
#include <utility>

namespace hearth::http {
namespace {

// Long enough that a burst of requests reuses its threads, short enough that memory comes back.
constexpr std::chrono::seconds kIdleTime{10};

}  // namespace

ConnectionThreads::~ConnectionThreads() { join(); }

bool ConnectionThreads::run(std::function<void()> job) {
  join_retired();
  std::lock_guard lock(mutex_);
  if (joining_) return false;
  if (idle_ > jobs_.size()) {
    jobs_.push_back(std::move(job));
    changed_.notify_one();
    return true;
  }
  if (static_cast<int32_t>(threads_.size()) >= max_threads_) return false;
  const auto self = threads_.emplace(threads_.end());
  jobs_.push_back(std::move(job));
  ++idle_;  // the new thread, until it takes the job
  try {
    *self = std::thread([this, self] { work(self); });
  } catch (const std::system_error&) {  // a limit on processes or memory
    --idle_;
    jobs_.pop_back();
    threads_.erase(self);
    return false;
  }
  return true;
}

void ConnectionThreads::work(Thread self) {
  std::unique_lock lock(mutex_);
  std::function<void()> job;
  while (take(lock, job)) {
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
    ++idle_;
  }
  retired_.splice(retired_.end(), threads_, self);
  changed_.notify_all();
}

bool ConnectionThreads::take(std::unique_lock<std::mutex>& lock, std::function<void()>& job) {
  const bool woken =
      changed_.wait_for(lock, kIdleTime, [this] { return joining_ || !jobs_.empty(); });
  --idle_;
  if (!woken || jobs_.empty()) return false;
  job = std::move(jobs_.front());
  jobs_.pop_front();
  return true;
}

void ConnectionThreads::join_retired() {
  std::list<std::thread> ended;
  {
    std::lock_guard lock(mutex_);
    ended.swap(retired_);
  }
  for (std::thread& thread : ended) thread.join();
}

void ConnectionThreads::join() {
  {
    std::unique_lock lock(mutex_);
    joining_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return threads_.empty(); });
  }
  join_retired();
}

size_t ConnectionThreads::count() const {
  std::lock_guard lock(mutex_);
  return threads_.size();
}

}  // namespace hearth::http
