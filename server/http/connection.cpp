#include "server/http/connection.h"

#include <cxxabi.h>
#include <openssl/rand.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <memory>
#include <typeinfo>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "server/http/body_decoder.h"
#include "server/http/response_writer.h"

namespace hearth::http {
namespace {

using std::chrono::steady_clock;

constexpr size_t kHeadReadBytes = 4096;
constexpr size_t kBodyReadBytes = size_t{64} << 10;
constexpr size_t kMaxRequestIdBytes = 128;

std::string make_request_id() {
  std::array<unsigned char, 16> bytes{};
  HEARTH_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1, "no random bytes");
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id = "req_";
  for (const unsigned char byte : bytes) {
    id.push_back(kDigits[byte >> 4]);
    id.push_back(kDigits[byte & 15]);
  }
  return id;
}

bool is_usable_request_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxRequestIdBytes &&
         std::ranges::all_of(id, [](char c) { return c >= 0x20 && c < 0x7F; });
}

/// Answered even when all places are taken, so that a full server is not taken for a dead one.
bool is_vital(const Request& request) {
  return (request.method == "GET" || request.method == "HEAD") &&
         (request.path == "/health" || request.path == "/livez" || request.path == "/metrics");
}

struct ErrorBody {
  std::string text;
  std::string_view content_type;
};

ErrorBody render_error(const HttpServer::Options& options, int status, const std::string& message) {
  if (!options.on_error) return {message + "\n", "text/plain; charset=utf-8"};
  return {options.on_error(status, message), "application/json"};
}

Headers refusal_headers(int status) {
  if (status == 503) return {{"Retry-After", "1"}};
  return {};
}

/// The type of the exception in flight. Never its text: that may quote a prompt.
std::string current_exception_type() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "unknown";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? name.get() : type->name();
}

/// The share of the server's body memory that one request holds.
class BodyLease {
 public:
  BodyLease(std::atomic<uint64_t>& total, uint64_t limit) : total_(total), limit_(limit) {}
  ~BodyLease() { release(); }
  BodyLease(const BodyLease&) = delete;
  BodyLease& operator=(const BodyLease&) = delete;

  [[nodiscard]] bool grow_to(uint64_t bytes) {
    const uint64_t more = bytes - held_;
    held_ = bytes;
    return total_.fetch_add(more) + more <= limit_;
  }
  void release() { total_ -= std::exchange(held_, 0); }

 private:
  std::atomic<uint64_t>& total_;
  const uint64_t limit_;
  uint64_t held_ = 0;
};

}  // namespace

struct Connection::Incoming {
  Incoming(std::atomic<uint64_t>& body_bytes, uint64_t limit) : lease(body_bytes, limit) {}

  Request request;
  Framing framing;
  int minor_version = 1;
  BodyLease lease;
};

Connection::Connection(int fd, ConnectionShared& shared, ConnectionRegistry::Place place)
    : socket_(fd, shared.options.limits.write_timeout),
      shared_(shared),
      place_(std::move(place)),
      remote_address_(socket_.remote_address()) {}

void Connection::serve() {
  while (serve_request()) {
  }
}

bool Connection::serve_request() {
  if (!await_first_byte()) return false;
  Incoming incoming(shared_.body_bytes, shared_.options.limits.max_buffered_bytes);
  incoming.request.remote_address = remote_address_;
  incoming.request.id = make_request_id();
  auto received = receive(incoming);
  if (!received) return refuse_request(incoming, received.error());
  if (*received == Step::kGone) return false;
  return handle(incoming);
}

bool Connection::await_first_byte() {
  const Limits& limits = shared_.options.limits;
  const Deadline deadline =
      steady_clock::now() + (first_request_ ? limits.header_timeout : limits.keep_alive_timeout);
  first_request_ = false;
  if (!place_.set_idle()) return false;
  // A lone CR LF before a request is a habit of old clients (RFC 9112, 2.2).
  while (true) {
    if (buffer_.starts_with("\r\n")) buffer_.erase(0, 2);
    if (!buffer_.empty() && buffer_ != "\r") break;
    if (socket_.read_some(buffer_, kHeadReadBytes, deadline) != ReadResult::kData) return false;
  }
  place_.set_reading();
  return true;
}

Parsed<Connection::Step> Connection::receive(Incoming& incoming) {
  auto head = receive_head(incoming);
  if (!head || *head == Step::kGone) return head;
  const size_t max_body_bytes = shared_.options.limits.max_body_bytes;
  auto step = receive_body(incoming);
  HEARTH_CHECK(incoming.request.body.size() <= max_body_bytes, "the decoder bounds the body");
  if (buffer_.empty()) buffer_ = {};  // a stream may last for hours: give the memory back
  return step;
}

Parsed<Connection::Step> Connection::receive_head(Incoming& incoming) {
  const Limits& limits = shared_.options.limits;
  const Deadline deadline = steady_clock::now() + limits.header_timeout;
  size_t scanned = 0;
  size_t head_bytes = 0;
  while (true) {
    auto end = find_head_end(buffer_, scanned, limits.max_header_bytes);
    if (!end) return std::unexpected(std::move(end).error());
    head_bytes = *end;
    if (head_bytes > 0) break;
    auto step = read_more(kHeadReadBytes, deadline, "head");
    if (!step || *step == Step::kGone) return step;
  }
  auto head = parse_head(std::string_view(buffer_).substr(0, head_bytes));
  buffer_.erase(0, head_bytes);
  if (!head) return std::unexpected(std::move(head).error());
  Request& request = incoming.request;
  request.method = std::move(head->method);
  request.path = std::move(head->path);
  request.query = std::move(head->query);
  request.headers = std::move(head->headers);
  incoming.minor_version = head->minor_version;
  if (const auto id = request.header("x-request-id"); is_usable_request_id(id)) request.id = id;
  auto framing = parse_framing(request.headers, incoming.minor_version, limits.max_body_bytes);
  if (!framing) return std::unexpected(std::move(framing).error());
  incoming.framing = *framing;
  return Step::kDone;
}

Parsed<Connection::Step> Connection::receive_body(Incoming& incoming) {
  const Limits& limits = shared_.options.limits;
  const Deadline deadline = steady_clock::now() + limits.body_timeout;
  BodyDecoder decoder(incoming.framing, limits.max_body_bytes, limits.max_header_bytes);
  if (incoming.framing.expects_continue && !decoder.done() && buffer_.empty()) {
    std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    iovec part{go_on.data(), go_on.size()};
    if (!socket_.write_all({&part, 1})) return Step::kGone;
  }
  std::string& body = incoming.request.body;
  while (true) {
    auto used = decoder.feed(buffer_, body);
    if (!used) return std::unexpected(std::move(used).error());
    buffer_.erase(0, *used);
    if (!incoming.lease.grow_to(body.size()))
      return refuse(503, "too many large requests at once; try again later");
    if (decoder.done()) return Step::kDone;
    auto step = read_more(kBodyReadBytes, deadline, "body");
    if (!step || *step == Step::kGone) return step;
  }
}

Parsed<Connection::Step> Connection::read_more(size_t max_bytes, Deadline deadline,
                                               const char* what) {
  switch (socket_.read_some(buffer_, max_bytes, deadline)) {
    case ReadResult::kData:
      return Step::kDone;
    case ReadResult::kTimeout:
      return refuse(408, std::string("the request's ") + what + " did not arrive in time");
    case ReadResult::kEnd:
      break;
  }
  if (place_.evicted()) return refuse(503, "the server needs this connection's place");
  return Step::kGone;
}

bool Connection::closing() const { return shared_.registry.stopping(); }

bool Connection::handle(Incoming& incoming) {
  const Request& request = incoming.request;
  const bool regular = place_.set_busy();
  if (place_.evicted()) return refuse_request(incoming, {503, "the server is closing connections"});
  if (!regular && !is_vital(request))
    return refuse_request(incoming,
                          {503, "all " + std::to_string(shared_.options.limits.max_connections) +
                                    " connections are in use; try again later"});
  ResponseWriter writer(socket_,
                        {.request_id = request.id,
                         .head_only = request.method == "HEAD",
                         .chunks = incoming.minor_version >= 1,
                         .keep_alive = incoming.framing.keep_alive && regular},
                        [this] { return closing(); });
  bool failed = false;
  try {
    shared_.options.handler(request, writer);
  } catch (...) {
    failed = true;
    spdlog::error("{}: the handler failed with {}", request.id, current_exception_type());
  }
  if (!writer.started()) {
    if (!failed) spdlog::error("{}: the handler gave no answer", request.id);
    return refuse_request(incoming, {500, "internal error; the log has more under the request id"});
  }
  if (failed) {
    writer.abort();
    return false;
  }
  if (writer.finish()) return true;
  (void)place_.set_idle();
  if (!socket_.client_gone()) socket_.linger();
  return false;
}

bool Connection::refuse_request(Incoming& incoming, const Refusal& refusal) {
  ResponseWriter writer(socket_,
                        {.request_id = incoming.request.id,
                         .head_only = incoming.request.method == "HEAD",
                         .chunks = incoming.minor_version >= 1,
                         .keep_alive = false},
                        [] { return true; });
  ErrorBody body = render_error(shared_.options, refusal.status, refusal.message);
  writer.send(refusal.status, body.content_type, std::move(body.text),
              refusal_headers(refusal.status));
  (void)writer.finish();
  incoming.request.body = {};
  incoming.lease.release();
  // What the client still sends was not read and must not be taken for a request.
  (void)place_.set_idle();
  socket_.linger();
  return false;
}

void turn_away(int fd, const HttpServer::Options& options) {
  ClientSocket socket(fd, std::chrono::milliseconds{0});
  std::string unread;  // bytes left unread would turn the close into a reset
  (void)socket.read_some(unread, kBodyReadBytes,
                         steady_clock::now() + std::chrono::milliseconds{1});
  ResponseWriter writer(socket, {.request_id = make_request_id(), .keep_alive = false},
                        [] { return true; });
  ErrorBody body = render_error(options, 503, "all connections are in use; try again later");
  writer.send(503, body.content_type, std::move(body.text), refusal_headers(503));
  (void)writer.finish();
}

}  // namespace hearth::http
