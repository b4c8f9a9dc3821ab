#include "server/supervisor/signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

namespace hearth {

Result<Signals> Signals::block() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return fail(ErrorCode::kIo, "cannot block signals: " + std::generic_category().message(error));
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid())
    return fail(ErrorCode::kIo,
                "cannot make a signalfd: " + std::generic_category().message(errno));
  return Signals(std::move(fd));
}

std::optional<int> Signals::wait(std::chrono::milliseconds timeout, int wake_fd) {
  std::array<pollfd, 2> items{pollfd{.fd = fd_.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = wake_fd, .events = POLLIN, .revents = 0}};
  if (::poll(items.data(), items.size(), static_cast<int>(timeout.count())) <= 0)
    return std::nullopt;
  if ((items[1].revents & POLLIN) != 0) {
    uint64_t count = 0;
    // A non-blocking eventfd; if another reader was first there is nothing left to clear.
    (void)!::read(wake_fd, &count, sizeof count);
  }
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace hearth
