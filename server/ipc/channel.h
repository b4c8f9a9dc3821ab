#pragma once
// One end of the socket pair between the gateway and a worker: whole messages over a byte stream
// that never blocks. A message may carry a file descriptor (SCM_RIGHTS, unix(7)).

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "server/ipc/messages.h"

namespace hearth::ipc {

/// A connected pair of stream sockets, close-on-exec and non-blocking.
Result<std::pair<UniqueFd, UniqueFd>> socket_pair();

/// Owns its socket and the bytes in either direction. One thread at a time.
class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }

  /// A descriptor on its way: kept open until the socket has taken it.
  using Attachment = std::shared_ptr<const UniqueFd>;

  /// Queues a message, with a descriptor or without, and sends what the socket takes now.
  /// kTooLarge: not queued. kIo: the peer has gone.
  template <typename Message>
  Status send(const Message& message, Attachment attachment = {}) {
    const size_t begin = unsent_.size();
    HEARTH_RETURN_IF_ERROR(append_frame(unsent_, message));
    if (attachment) attachments_.emplace_back(sent_total_ + begin - sent_, std::move(attachment));
    return flush();
  }
  /// Sends more of what is queued, if the socket takes it.
  Status flush();
  /// Bytes that wait for the socket. A sender that produces without bound must look at it.
  [[nodiscard]] size_t unsent_bytes() const { return unsent_.size() - sent_; }
  /// Waits until all is sent, for at most `timeout_ms`. False if it was not.
  bool flush_blocking(int timeout_ms);

  enum class Receive {
    kData,     // read something; there may be more
    kNothing,  // nothing now
    kClosed,   // the peer has gone; frames read before it went can still be taken
  };
  /// Reads what is there, up to some tens of KiB so that one peer cannot starve the others.
  Receive receive();
  /// The next whole frame; nothing until more is received. Valid until the next receive().
  /// kMalformed if the length is over the limit: the stream is then beyond repair.
  Result<std::optional<std::string_view>> next_frame();
  /// The descriptor of the frame just taken, close-on-exec; invalid if it came without one. Each
  /// frame that should have one is asked for it once, in order.
  UniqueFd take_descriptor();

 private:
  /// Sends bytes of unsent_ up to the next attachment, or an attachment with what follows it.
  [[nodiscard]] ssize_t send_some() const;
  void keep_descriptors(msghdr& message);

  UniqueFd socket_;
  std::string unsent_;
  size_t sent_ = 0;          // of unsent_
  uint64_t sent_total_ = 0;  // bytes, since the channel began
  /// Where in the stream each goes: with the first byte of its frame.
  std::deque<std::pair<uint64_t, Attachment>> attachments_;
  std::string received_;
  size_t taken_ = 0;  // of received_
  std::deque<UniqueFd> descriptors_;
  bool lost_descriptors_ = false;  // more came than there is a use for
};

}  // namespace hearth::ipc
