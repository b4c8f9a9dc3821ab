#pragma once
// HTTP/1.1 behind a small interface. The only folder that knows cpp-httplib; its measured traps
// are closed here, each with a raw-socket test (tests/server/http).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace hearth::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

/// A request that was read in full and is within the limits.
struct Request {
  std::string method;  // upper case
  std::string path;    // decoded, without the query
  std::string query;   // raw, without '?'
  Headers headers;
  std::string body;
  std::string remote_address;
  std::string id;  // x-request-id: the client's if it is printable and short, else made here

  /// The value of the first header of that name (case-insensitive); empty if there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

/// The answer to one request. Used by the connection's thread alone. Every answer carries
/// x-request-id.
class Response {
 public:
  virtual ~Response() = default;

  /// The whole answer at once. At most once, and not after begin_stream().
  virtual void send(int status, std::string_view content_type, std::string body,
                    Headers extra = {}) = 0;

  /// Starts a body of unknown length (server-sent events). Then write() any number of times.
  virtual void begin_stream(int status, std::string_view content_type, Headers extra = {}) = 0;
  /// Sends a piece at once. False if the client has gone or does not read within the write limit.
  [[nodiscard]] virtual bool write(std::string_view bytes) = 0;

  /// True once the client has closed its side or reset. Cheap; to be asked while waiting.
  [[nodiscard]] virtual bool client_gone() = 0;
};

/// Runs on the connection's own thread. An exception becomes a 500 without its text.
using Handler = std::function<void(const Request&, Response&)>;

struct Limits {
  size_t max_body_bytes = 16U << 20;
  size_t max_header_bytes = 64U << 10;   // request line and all headers together
  size_t max_buffered_bytes = 1U << 30;  // of all bodies together; beyond it 503
  int32_t max_connections = 4096;        // further ones get 503, but for /health, /livez, /metrics
  int32_t backlog = 4096;
  std::chrono::milliseconds header_timeout{10'000};  // for the whole head, not a byte
  std::chrono::milliseconds body_timeout{60'000};    // for the whole body
  std::chrono::milliseconds write_timeout{30'000};   // a reader that stalls for so long is dropped
  /// Longer than clients keep idle connections (4 to 60 s): a request on one that is just being
  /// closed fails, and clients do not repeat a POST. When places are short, idle ones go first.
  std::chrono::milliseconds keep_alive_timeout{75'000};
};

/// Listens and answers. Errors before a handler runs (limits, malformed requests) are answered by
/// `on_error(status, message)`, which renders the body in the API's form (JSON).
class HttpServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    int port = 8080;  // 0: any free port, see port()
    Limits limits;
    Handler handler;  // every method and path comes here
    std::function<std::string(int status, std::string_view message)> on_error;
  };

  /// Binds and listens; connections wait until run().
  static Result<std::unique_ptr<HttpServer>> listen(Options options);
  virtual ~HttpServer() = default;

  [[nodiscard]] virtual int port() const = 0;
  [[nodiscard]] virtual int open_connections() const = 0;
  /// Serves until stop(). Blocks.
  virtual void run() = 0;
  /// Stops accepting; run() returns once handlers have ended. Any thread, also from none.
  virtual void stop() = 0;
};

}  // namespace hearth::http
