#pragma once
// The life of one connection: read a request within its limits, let the handler answer, again.

#include <atomic>
#include <string>

#include "server/http/client_socket.h"
#include "server/http/connection_registry.h"
#include "server/http/http_server.h"
#include "server/http/request_head.h"

namespace hearth::http {

/// What all connections of a server share. Outlives them.
struct ConnectionShared {
  const HttpServer::Options& options;
  ConnectionRegistry& registry;
  std::atomic<uint64_t> body_bytes{0};  // held by all requests together
};

class Connection {
 public:
  /// Borrows `fd`; `place` must be valid.
  Connection(int fd, ConnectionShared& shared, ConnectionRegistry::Place place);

  /// Serves until either side ends it. The caller closes `fd` afterwards.
  void serve();

 private:
  struct Incoming;  // a request while it is read and handled
  // What a step of reading came to, beside a refusal.
  enum class Step { kDone, kGone };

  bool serve_request();
  bool await_first_byte();
  Parsed<Step> receive(Incoming& incoming);
  Parsed<Step> receive_head(Incoming& incoming);
  Parsed<Step> receive_body(Incoming& incoming);
  Parsed<Step> read_more(size_t max_bytes, Deadline deadline, const char* what);
  bool handle(Incoming& incoming);
  bool refuse_request(Incoming& incoming, const Refusal& refusal);
  bool closing() const;

  ClientSocket socket_;
  ConnectionShared& shared_;
  ConnectionRegistry::Place place_;
  const std::string remote_address_;
  std::string buffer_;  // bytes read and not yet used
  bool first_request_ = true;
};

/// Answers 503 without waiting for a request: for a connection that no thread is left for. Takes a
/// millisecond at most. The caller closes `fd`.
void turn_away(int fd, const HttpServer::Options& options);

}  // namespace hearth::http
