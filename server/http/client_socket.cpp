#include "server/http/client_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hearth::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long and how much a refused client may go on sending. A fast client has sent a body of some
// MiB by then and reads its answer; a slow one gets a reset.
constexpr milliseconds kLingerTime{1000};
constexpr size_t kLingerBytes = 8U << 20;

void set_option(int fd, int level, int name, int value) {
  // Fails only for sockets that are not TCP, which need none of these.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

/// poll() for one descriptor until `deadline`, resumed after signals. The events that came, 0 on
/// time-out.
short wait_for(int fd, short events, Deadline deadline) {
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    pollfd entry{fd, events, 0};
    const int count = ::poll(&entry, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (count > 0) return entry.revents;
    if (count == 0) return 0;
    if (errno != EINTR) return POLLERR;
  }
}

}  // namespace

ClientSocket::ClientSocket(int fd, milliseconds write_timeout)
    : fd_(fd), write_timeout_(write_timeout) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(write_timeout.count()));
  // The library accepts without SOCK_CLOEXEC; a worker that is started now must not keep a
  // client's connection open.
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

ReadResult ClientSocket::read_some(std::string& buffer, size_t max_bytes, Deadline deadline) {
  while (true) {
    // Also a client that always has one more byte ready must be done in time.
    if (steady_clock::now() >= deadline) return ReadResult::kTimeout;
    const size_t old_size = buffer.size();
    ssize_t got = -1;
    buffer.resize_and_overwrite(old_size + max_bytes, [&](char* data, size_t) {
      got = ::recv(fd_, data + old_size, max_bytes, MSG_DONTWAIT);
      return old_size + static_cast<size_t>(std::max<ssize_t>(got, 0));
    });
    if (got > 0) return ReadResult::kData;
    if (got == 0) return ReadResult::kEnd;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return ReadResult::kEnd;
    if (wait_for(fd_, POLLIN, deadline) == 0) return ReadResult::kTimeout;
  }
}

bool ClientSocket::write_all(std::span<iovec> parts) {
  while (!broken_) {
    while (!parts.empty() && parts.front().iov_len == 0) parts = parts.subspan(1);
    if (parts.empty()) return true;
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t sent = ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // Time starts anew with every byte that goes out: a slow reader may live, a stalled one not.
      const short events = wait_for(fd_, POLLOUT, steady_clock::now() + write_timeout_);
      if ((events & POLLOUT) == 0) broken_ = true;
      continue;
    }
    if (sent < 0) {
      broken_ = true;
      continue;
    }
    auto left = static_cast<size_t>(sent);
    for (iovec& part : parts) {
      const size_t taken = std::min(left, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + taken;
      part.iov_len -= taken;
      left -= taken;
    }
  }
  return false;
}

bool ClientSocket::client_gone() {
  if (broken_) return true;
  // POLLRDHUP and not a peek: a pipelined request may lie before the end of the stream.
  pollfd entry{fd_, POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) > 0;
}

void ClientSocket::linger() {
  if (::shutdown(fd_, SHUT_WR) != 0) return;
  const Deadline deadline = steady_clock::now() + kLingerTime;
  std::string dropped;
  for (size_t total = 0; total < kLingerBytes; total += dropped.size()) {
    dropped.clear();
    if (read_some(dropped, size_t{64} << 10, deadline) != ReadResult::kData) return;
  }
}

void ClientSocket::reset_on_close() {
  const ::linger now{1, 0};
  (void)::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

std::string ClientSocket::remote_address() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
  } else if (address.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
    ::inet_ntop(mapped ? AF_INET : AF_INET6, v6->sin6_addr.s6_addr + (mapped ? 12 : 0), text,
                sizeof text);
  }
  return text;
}

}  // namespace hearth::http
