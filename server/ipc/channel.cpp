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

/// Descriptors that wait to be taken; the protocol needs one at a time.
constexpr size_t kMaxDescriptors = 4;

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

ssize_t Channel::send_some() const {
  iovec bytes{.iov_base = const_cast<char*>(unsent_.data() + sent_),
              .iov_len = unsent_.size() - sent_};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  auto next = attachments_.begin();
  if (next != attachments_.end() && next->first == sent_total_) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = next->second->get();
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    ++next;
  }
  if (next != attachments_.end()) bytes.iov_len = next->first - sent_total_;
  return ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

Status Channel::flush() {
  while (sent_ < unsent_.size()) {
    const ssize_t n = send_some();
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n < 0)
      return fail(ErrorCode::kIo, "the peer has gone: " + std::generic_category().message(errno));
    if (!attachments_.empty() && attachments_.front().first == sent_total_)
      attachments_.pop_front();
    sent_ += static_cast<size_t>(n);
    sent_total_ += static_cast<uint64_t>(n);
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
  iovec bytes{.iov_base = received_.data() + before, .iov_len = kReceiveBytes};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  msghdr message{};
  ssize_t n = 0;
  do {
    message = {};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  const int error = errno;
  if (n >= 0) keep_descriptors(message);
  received_.resize(before + static_cast<size_t>(n > 0 ? n : 0));
  if (n > 0) return Receive::kData;
  if (n < 0 && (error == EAGAIN || error == EWOULDBLOCK)) return Receive::kNothing;
  return Receive::kClosed;
}

/// Owns all that came, so that none leaks, whatever the peer means by them.
void Channel::keep_descriptors(msghdr& message) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      descriptors_.emplace_back(fd);
    }
  }
  // Cut off: the peer sent more than the protocol has, or this process may open no more.
  if ((message.msg_flags & MSG_CTRUNC) != 0) lost_descriptors_ = true;
  if (descriptors_.size() > kMaxDescriptors) {
    descriptors_.clear();
    lost_descriptors_ = true;
  }
}

UniqueFd Channel::take_descriptor() {
  if (descriptors_.empty()) return {};
  UniqueFd first = std::move(descriptors_.front());
  descriptors_.pop_front();
  return first;
}

Result<std::optional<std::string_view>> Channel::next_frame() {
  if (lost_descriptors_)
    return fail(ErrorCode::kMalformed, "file descriptors on the socket were lost");
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
