#pragma once
// A client that sends exactly the bytes it is told to, and a server for it to talk to.

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/unique_fd.h"
#include "server/http/http_server.h"

namespace hearth::http {

using std::chrono::milliseconds;

struct Answer {
  int status = 0;
  Headers headers;
  std::string body;
  bool complete = false;  // the body ended as its framing says

  [[nodiscard]] std::string header(std::string_view name) const;
};

class RawClient {
 public:
  /// Connects to loopback. A positive `receive_buffer` makes the window small.
  explicit RawClient(int port, int receive_buffer = 0);

  /// False if the server has closed or takes no more within two seconds.
  bool send(std::string_view bytes);
  /// The next answer; `bodyless` for one to HEAD. Nothing if the server closes before its head is
  /// complete or nothing arrives for `timeout`.
  std::optional<Answer> receive(bool bodyless = false, milliseconds timeout = milliseconds{5000});
  /// send() and receive().
  std::optional<Answer> exchange(std::string_view bytes);
  /// True if at least `count` further bytes arrive.
  bool receive_bytes(size_t count, milliseconds timeout = milliseconds{5000});
  /// True if the server closes (or resets) within `timeout`, with nothing left to read.
  bool closed_by_server(milliseconds timeout = milliseconds{5000});
  void close() { fd_.reset(); }
  void half_close();

 private:
  bool fill(milliseconds timeout);
  bool take_chunks(Answer& answer, milliseconds timeout);

  UniqueFd fd_;
  std::string buffer_;
};

/// A server on a free port with routes that misbehave in all the ways handlers can.
class TestServer {
 public:
  explicit TestServer(Limits limits = short_limits());
  ~TestServer();

  /// Timeouts short enough for tests, with room for a busy machine.
  static Limits short_limits();

  [[nodiscard]] int port() const { return server_->port(); }
  [[nodiscard]] HttpServer& server() { return *server_; }
  /// Stops and waits for run() to return.
  void stop();

  std::atomic<int> handled{0};         // requests that reached the handler
  std::atomic<int> waiting{0};         // handlers in /wait or /hold
  std::atomic<int> gone{0};            // of those, ended because the client went
  std::atomic<int> write_failures{0};  // streams that ended in a failed write()
  std::atomic<bool> release{false};    // ends /wait and /hold

 private:
  void handle(const Request& request, Response& response);
  void wait(Response& response, bool streaming);

  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

/// "GET path HTTP/1.1" with a Host and further header lines, each ending in CR LF.
std::string get(std::string_view path, std::string_view headers = "");
/// POST with a Content-Length.
std::string post(std::string_view path, std::string_view body, std::string_view headers = "");

/// Waits until `condition` holds; false after five seconds.
template <typename Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds{1});
  }
  return condition();
}

}  // namespace hearth::http
