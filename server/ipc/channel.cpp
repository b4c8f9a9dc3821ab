#include "server/ipc/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>

namespace hearth::ipc {
namespace {

/// Taken bytes at the front are dropped once they outweigh this, so that the buffer neither grows
/// nor moves for every frame.
constexpr size_t kCompactBytes = 64U << 10;

constexpr size_t kReceiveBytes = 64U << 10;

void compact(std::string& buffer, size_t& used) {
  if (used == buffer.size()) {
    buffer.clear();
    used = 0;
  } else if (used > kCompactBytes) {
    buffer.erase(0, used);
    used = 0;
  }
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> socket_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()) != 0) {
    return fail(ErrorCode::kIo,
                "cannot make a socket pair: " + std::generic_category().message(errno));
  }
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}

Status Channel::flush() {
  while (sent_ < unsent_.size()) {
    const ssize_t n =
        ::send(socket_.get(), unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0)
      return fail(ErrorCode::kIo, "the peer has gone: " + std::generic_category().message(errno));
    sent_ += static_cast<size_t>(n);
  }
  compact(unsent_, sent_);
  return {};
}

bool Channel::flush_blocking(int timeout_ms) {
  pollfd item{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
  while (flush().has_value()) {
    if (unsent_bytes() == 0) return true;
    if (::poll(&item, 1, timeout_ms) <= 0) return false;
  }
  return false;
}

Channel::Receive Channel::receive() {
  compact(received_, taken_);
  const size_t before = received_.size();
  received_.resize(before + kReceiveBytes);
  ssize_t n = 0;
  do {
    n = ::recv(socket_.get(), received_.data() + before, kReceiveBytes, 0);
  } while (n < 0 && errno == EINTR);
  const int error = errno;
  received_.resize(before + static_cast<size_t>(n > 0 ? n : 0));
  if (n > 0) return Receive::kData;
  if (n < 0 && (error == EAGAIN || error == EWOULDBLOCK)) return Receive::kNothing;
  return Receive::kClosed;
}

Result<std::optional<std::string_view>> Channel::next_frame() {
  const std::string_view rest = std::string_view(received_).substr(taken_);
  uint32_t length = 0;
  if (rest.size() < sizeof length) return std::nullopt;
  std::memcpy(&length, rest.data(), sizeof length);
  if (length > kMaxFrameBytes) {
    return fail(ErrorCode::kMalformed, "a frame of " + std::to_string(length) +
                                           " bytes is over the limit of " +
                                           std::to_string(kMaxFrameBytes));
  }
  if (rest.size() - sizeof length < length) return std::nullopt;
  taken_ += sizeof length + length;
  return rest.substr(sizeof length, length);
}

}  // namespace hearth::ipc
