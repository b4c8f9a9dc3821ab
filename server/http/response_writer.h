#pragma once
// Renders answers: status line, headers, and a body of known or unknown length.

#include <functional>
#include <string>
#include <string_view>

#include "server/http/client_socket.h"
#include "server/http/http_server.h"

namespace hearth::http {

/// One answer on a socket. Lives as long as its handler runs.
class ResponseWriter final : public Response {
 public:
  struct Context {
    std::string request_id;
    bool head_only = false;  // the method was HEAD: headers, but no body
    bool chunks = true;      // the client speaks HTTP/1.1
    bool keep_alive = true;  // the client would go on
  };

  /// `closing` is asked when the head is rendered: true once the server stops.
  ResponseWriter(ClientSocket& socket, Context context, std::function<bool()> closing);

  void send(int status, std::string_view content_type, std::string body,
            Headers extra = {}) override;
  void begin_stream(int status, std::string_view content_type, Headers extra = {}) override;
  [[nodiscard]] bool write(std::string_view bytes) override;
  [[nodiscard]] bool client_gone() override { return socket_.client_gone(); }

  [[nodiscard]] bool started() const { return state_ != State::kNone; }
  /// Call when the handler has returned: ends an open stream. True if the connection can be used
  /// for a further request.
  bool finish();
  /// Call when the handler failed after it began: the client sees a body that breaks off.
  void abort();

 private:
  enum class State { kNone, kStreaming, kComplete };

  std::string render_head(int status, std::string_view content_type, const Headers& extra,
                          std::string_view framing);
  bool send_parts(std::string_view first, std::string_view second, std::string_view third);

  ClientSocket& socket_;
  const Context context_;
  const std::function<bool()> closing_;
  State state_ = State::kNone;
  bool keep_alive_ = false;  // what the head said
  bool bodyless_ = false;    // HEAD, 204, 304
  bool failed_ = false;      // a write failed
};

/// "Not Found" for 404; "Status" for a code without a name.
std::string_view reason_phrase(int status);

}  // namespace hearth::http
