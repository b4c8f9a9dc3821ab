#include "server/http/http_server.h"

#include <fcntl.h>
#include <httplib.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>
#include <typeinfo>

#include "base/log.h"
#include "base/unique_fd.h"
#include "server/http/connection.h"
#include "server/http/connection_registry.h"
#include "server/http/connection_threads.h"
#include "server/http/request_head.h"

namespace hearth::http {
namespace {

// Places beyond the limit for connections that get /health, /livez, /metrics or a 503. Each is
// taken for a round trip, so a few serve many.
constexpr int32_t kReserveConnections = 64;

/// What the library's TaskQueue::enqueue() returns: nothing in older versions, bool in newer ones.
using EnqueueResult =
    decltype(std::declval<httplib::TaskQueue&>().enqueue(std::declval<std::function<void()>>()));

/// Set while a connection is served on the accepting thread because no other is left.
thread_local bool no_thread_left = false;

/// Hands the library's accepted connections to ConnectionThreads.
class ConnectionQueue final : public httplib::TaskQueue {
 public:
  explicit ConnectionQueue(ConnectionThreads& threads) : threads_(threads) {}

  EnqueueResult enqueue(std::function<void()> serve) override {
    if (!threads_.run(serve)) {
      no_thread_left = true;
      serve();
      no_thread_left = false;
    }
    return static_cast<EnqueueResult>(true);
  }

  // The threads outlive one call of the library's accept loop; Server::run() joins them.
  void shutdown() override {}

 private:
  ConnectionThreads& threads_;
};

/// The library gives the listening socket and the accept loop. Everything after accept() is ours:
/// process_and_close_socket() replaces its connection handling.
class Server final : public HttpServer, private httplib::Server {
 public:
  explicit Server(HttpServer::Options options)
      : options_(std::move(options)),
        registry_(options_.limits.max_connections, kReserveConnections),
        shared_{.options = options_, .registry = registry_},
        threads_(options_.limits.max_connections + kReserveConnections) {
    new_task_queue = [this] { return new ConnectionQueue(threads_); };  // the library deletes it
    // Its default adds SO_REUSEPORT, with which a second daemon would share the port unnoticed.
    set_socket_options([](socket_t fd) {
      const int on = 1;
      (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    });
  }

  ~Server() override {
    if (svr_sock_ != INVALID_SOCKET) ::close(svr_sock_);
  }

  Status bind();

  [[nodiscard]] int port() const override { return port_; }
  [[nodiscard]] int open_connections() const override { return registry_.count(); }
  void run() override;
  void stop() override;

 private:
  bool process_and_close_socket(socket_t fd) override;

  const HttpServer::Options options_;
  ConnectionRegistry registry_;
  ConnectionShared shared_;
  ConnectionThreads threads_;
  int port_ = 0;
  // A second descriptor of the listening socket. The library closes its own on any error of
  // accept(); connections in the backlog survive here, and run() goes on with them.
  UniqueFd listener_;
  std::atomic<bool> stopping_{false};
};

Status Server::bind() {
  const std::string where = options_.host + " port " + std::to_string(options_.port);
  errno = 0;
  if (options_.port == 0) {
    port_ = bind_to_any_port(options_.host);
  } else {
    port_ = bind_to_port(options_.host, options_.port) ? options_.port : -1;
  }
  if (port_ <= 0) {
    // The library does not say what failed; errno is that of bind(), or nothing if the name did
    // not resolve.
    const std::string why = errno != 0 ? std::generic_category().message(errno) : "unknown address";
    return fail(ErrorCode::kIo, "cannot listen on " + where + ": " + why, "host");
  }
  // Its backlog is 5, with which bursts of clients wait for retransmissions.
  if (::listen(svr_sock_, options_.limits.backlog) != 0)
    return fail(ErrorCode::kIo,
                "cannot listen on " + where + ": " + std::generic_category().message(errno),
                "host");
  (void)::fcntl(svr_sock_, F_SETFD, FD_CLOEXEC);
  listener_.reset(::fcntl(svr_sock_, F_DUPFD_CLOEXEC, 0));
  if (!listener_.valid())
    return fail(ErrorCode::kIo,
                "cannot duplicate the listening socket: " + std::generic_category().message(errno));
  return {};
}

void Server::run() {
  while (!stopping_) {
    (void)listen_after_bind();
    svr_sock_ = INVALID_SOCKET;  // closed by the loop, which forgets to say so
    if (stopping_) break;
    // accept() failed for a passing reason: a connection aborted, memory or descriptors short.
    spdlog::warn("accepting connections failed; going on");
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    svr_sock_ = ::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0);
  }
  threads_.join();
}

void Server::stop() {
  stopping_ = true;
  // Wakes accept(), now or when run() comes to it; the library's own stop() is lost if it comes
  // before its loop has begun.
  (void)::shutdown(listener_.get(), SHUT_RDWR);
  registry_.stop();
}

bool Server::process_and_close_socket(socket_t fd) {
  const UniqueFd owner(fd);
  try {
    ConnectionRegistry::Place place = registry_.add(fd);
    if (no_thread_left || !place.valid()) {
      turn_away(fd, options_);
    } else {
      Connection(fd, shared_, std::move(place)).serve();
    }
  } catch (const std::exception& error) {
    spdlog::error("a connection ended with {}", typeid(error).name());
  }
  return true;
}

Status check_options(const HttpServer::Options& options) {
  const Limits& limits = options.limits;
  if (!options.handler) return fail(ErrorCode::kInvalidArgument, "a handler is needed", "handler");
  if (options.port < 0 || options.port > 65535)
    return fail(ErrorCode::kInvalidArgument,
                "port " + std::to_string(options.port) + " is not within 0 to 65535", "port");
  if (limits.max_connections < 1)
    return fail(ErrorCode::kInvalidArgument, "at least one connection is needed",
                "max_connections");
  return {};
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(Options options) {
  HEARTH_RETURN_IF_ERROR(check_options(options));
  auto server = std::make_unique<Server>(std::move(options));
  HEARTH_RETURN_IF_ERROR(server->bind());
  return server;
}

}  // namespace hearth::http
