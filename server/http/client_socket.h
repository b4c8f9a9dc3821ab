#pragma once
// One accepted connection: reads with a deadline, writes that drop a stalled reader, and the
// question whether the client is still there. Does not own the descriptor.

#include <sys/uio.h>

#include <chrono>
#include <span>
#include <string>

namespace hearth::http {

using Deadline = std::chrono::steady_clock::time_point;

enum class ReadResult { kData, kEnd, kTimeout };

class ClientSocket {
 public:
  /// Sets TCP_NODELAY (tokens leave at once), keep-alive probes and TCP_USER_TIMEOUT, so that a
  /// peer that vanished without a word is noticed too.
  ClientSocket(int fd, std::chrono::milliseconds write_timeout);

  /// Waits for bytes until `deadline` and appends at most `max_bytes` to `buffer`. kEnd when the
  /// client has closed or the connection broke.
  ReadResult read_some(std::string& buffer, size_t max_bytes, Deadline deadline);

  /// Sends all parts. False if the client has gone or took nothing for the write timeout; every
  /// later call then fails at once. Alters `parts`.
  [[nodiscard]] bool write_all(std::span<iovec> parts);

  /// True once the client has closed its side or reset, or a write failed. One system call.
  [[nodiscard]] bool client_gone();

  /// Ends our side and reads what the client still sends, for a short while: closing with unread
  /// bytes would reset the connection and could take the answer with it.
  void linger();

  /// Makes the coming close a reset, for an answer that broke off and has no other sign of it.
  void reset_on_close();

  /// "192.0.2.1" or "2001:db8::1"; empty if unknown.
  [[nodiscard]] std::string remote_address() const;

 private:
  const int fd_;
  const std::chrono::milliseconds write_timeout_;
  bool broken_ = false;
};

}  // namespace hearth::http
