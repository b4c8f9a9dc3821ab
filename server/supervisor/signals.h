#pragma once
// The daemon's signals as a file descriptor.

#include <chrono>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace hearth {

/// Blocks SIGTERM, SIGINT, SIGHUP and SIGCHLD for this thread and those it will make, and reads
/// them from a signalfd. Make it first thing in main().
class Signals {
 public:
  static Result<Signals> block();

  /// The next signal's number; nothing if none came within `timeout` or `wake_fd` (an eventfd, or
  /// -1) became readable, which it then is no more.
  std::optional<int> wait(std::chrono::milliseconds timeout, int wake_fd = -1);

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace hearth
