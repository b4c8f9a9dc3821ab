#pragma once
// One end of the socket pair between the gateway and a worker: whole messages over a byte stream
// that never blocks.

#include <cstddef>
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

  /// Queues a message and sends what the socket takes now. kTooLarge: not queued. kIo: the peer
  /// has gone.
  template <typename Message>
  Status send(const Message& message) {
    HEARTH_RETURN_IF_ERROR(append_frame(unsent_, message));
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

 private:
  UniqueFd socket_;
  std::string unsent_;
  size_t sent_ = 0;  // of unsent_
  std::string received_;
  size_t taken_ = 0;  // of received_
};

}  // namespace hearth::ipc
