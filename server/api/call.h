#pragma once
// One request on its way through the API: what an endpoint gets.

#include <cstdint>
#include <string>
#include <string_view>

#include "server/api/api.h"

namespace hearth::api {

/// What the log line of a request tells. Never the prompt.
struct RequestLog {
  std::string key = "anonymous";  // name of the API key
  std::string generation;         // id of the answer
  int64_t prompt_tokens = -1;     // -1: the request generates nothing
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
  std::string_view finish;  // "done", "cancelled" (the client went), "failed"
};

/// Forwards to the connection's response, adds the headers that every answer of this request must
/// carry, and remembers the status.
class CallResponse final : public http::Response {
 public:
  explicit CallResponse(http::Response& inner) : inner_(inner) {}

  void send(int status, std::string_view content_type, std::string body,
            http::Headers extra = {}) override;
  void begin_stream(int status, std::string_view content_type, http::Headers extra = {}) override;
  [[nodiscard]] bool write(std::string_view bytes) override { return inner_.write(bytes); }
  [[nodiscard]] bool client_gone() override { return inner_.client_gone(); }

  void send_json(int status, const OrderedJson& value, http::Headers extra = {});
  /// The error object with its status and headers.
  void send_error(const Error& error);
  void send_error(int status, std::string_view message, http::Headers extra = {});

  void set_headers(http::Headers headers) { headers_ = std::move(headers); }
  /// 0 until the answer has begun.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] bool streaming() const { return streaming_; }

 private:
  [[nodiscard]] http::Headers with_headers(http::Headers extra) const;

  http::Response& inner_;
  http::Headers headers_;
  int status_ = 0;
  bool streaming_ = false;
};

struct Call {
  const ApiContext& context;
  const http::Request& request;
  CallResponse& response;
  std::string fairness_key;    // whose share of the machine the request uses
  std::string_view path_tail;  // what follows a route's prefix: the id in /v1/models/{id}
  RequestLog log;
};

}  // namespace hearth::api
