#pragma once
// Server-sent events as OpenAI's clients read them.

#include <chrono>
#include <string>

#include "server/api/json_body.h"
#include "server/http/http_server.h"

namespace hearth::api {

/// The event "error": the last of a stream that fails.
std::string error_event(const OrderedJson& data);

/// Begins the stream with the first thing that is sent, so that a request which fails before gets a
/// status of its own. Every member but begun() returns false if the client has gone.
class SseStream {
 public:
  SseStream(http::Response& response, std::chrono::milliseconds ping_interval);

  [[nodiscard]] bool send(const OrderedJson& data);
  /// The stream ends with it, without [DONE].
  [[nodiscard]] bool send_error(const OrderedJson& data);
  [[nodiscard]] bool send_done();
  /// A comment line if nothing was sent for the interval: proxies and clients see a live stream.
  [[nodiscard]] bool ping_if_due();

  [[nodiscard]] bool begun() const { return begun_; }

 private:
  [[nodiscard]] bool write(std::string_view bytes);

  http::Response& response_;
  std::chrono::milliseconds ping_interval_;
  std::chrono::steady_clock::time_point last_write_;
  bool begun_ = false;
};

}  // namespace hearth::api
