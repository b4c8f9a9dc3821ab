#include "support_raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <stdexcept>

#include "base/check.h"
#include "server/http/request_head.h"

namespace hearth::http {

std::string Answer::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

RawClient::RawClient(int port, int receive_buffer) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
  if (receive_buffer > 0)
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd_.reset();
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      pollfd entry{fd_.get(), POLLOUT, 0};
      if (::poll(&entry, 1, 2000) <= 0) return false;
      continue;
    }
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool RawClient::fill(milliseconds timeout) {
  if (!fd_.valid()) return false;
  pollfd entry{fd_.get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(timeout.count())) <= 0) return false;
  char bytes[16384];
  const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::optional<Answer> RawClient::receive(bool bodyless, milliseconds timeout) {
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill(timeout)) return std::nullopt;
  }
  Answer answer;
  answer.status = std::stoi(buffer_.substr(9, 3));
  size_t at = buffer_.find("\r\n") + 2;
  while (at < end + 2) {
    const size_t line_end = buffer_.find("\r\n", at);
    const std::string line = buffer_.substr(at, line_end - at);
    const size_t colon = line.find(": ");
    HEARTH_CHECK(colon != std::string::npos, "a malformed header in an answer");
    answer.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    at = line_end + 2;
  }
  buffer_.erase(0, end + 4);
  if (answer.status == 100) return answer;
  if (bodyless || answer.status == 204) {
    answer.complete = true;
  } else if (answer.header("Transfer-Encoding") == "chunked") {
    answer.complete = take_chunks(answer, timeout);
  } else if (const std::string length = answer.header("Content-Length"); !length.empty()) {
    const size_t bytes = std::stoul(length);
    while (buffer_.size() < bytes && fill(timeout)) {
    }
    answer.complete = buffer_.size() >= bytes;
    answer.body = buffer_.substr(0, bytes);
    buffer_.erase(0, bytes);
  } else {
    while (fill(timeout)) {
    }
    answer.body = std::exchange(buffer_, {});
    answer.complete = true;
  }
  return answer;
}

bool RawClient::take_chunks(Answer& answer, milliseconds timeout) {
  while (true) {
    size_t line_end = 0;
    while ((line_end = buffer_.find("\r\n")) == std::string::npos) {
      if (!fill(timeout)) return false;
    }
    const size_t size = std::stoul(buffer_.substr(0, line_end), nullptr, 16);
    while (buffer_.size() < line_end + 2 + size + 2) {
      if (!fill(timeout)) return false;
    }
    answer.body += buffer_.substr(line_end + 2, size);
    buffer_.erase(0, line_end + 2 + size + 2);
    if (size == 0) return true;
  }
}

std::optional<Answer> RawClient::exchange(std::string_view bytes) {
  send(bytes);
  return receive();
}

bool RawClient::receive_bytes(size_t count, milliseconds timeout) {
  while (buffer_.size() < count) {
    if (!fill(timeout)) return false;
  }
  return true;
}

bool RawClient::closed_by_server(milliseconds timeout) {
  pollfd entry{fd_.get(), POLLIN, 0};
  if (::poll(&entry, 1, static_cast<int>(timeout.count())) <= 0) return false;
  char byte = 0;
  return buffer_.empty() && ::recv(fd_.get(), &byte, 1, 0) <= 0;
}

void RawClient::half_close() { ::shutdown(fd_.get(), SHUT_WR); }

Limits TestServer::short_limits() {
  Limits limits;
  limits.max_body_bytes = 1 << 20;
  limits.header_timeout = milliseconds{400};
  limits.body_timeout = milliseconds{400};
  limits.write_timeout = milliseconds{400};
  limits.keep_alive_timeout = milliseconds{2000};
  return limits;
}

TestServer::TestServer(Limits limits) {
  HttpServer::Options options;
  options.port = 0;
  options.limits = limits;
  options.handler = [this](const Request& request, Response& response) {
    ++handled;
    handle(request, response);
  };
  options.on_error = [](int status, std::string_view message) {
    return "{\"status\":" + std::to_string(status) + ",\"message\":\"" + std::string(message) +
           "\"}";
  };
  auto server = HttpServer::listen(std::move(options));
  if (!server) throw std::runtime_error(server.error().message);
  server_ = std::move(*server);
  thread_ = std::thread([this] { server_->run(); });
}

TestServer::~TestServer() { stop(); }

void TestServer::stop() {
  release = true;
  server_->stop();
  if (thread_.joinable()) thread_.join();
}

void TestServer::wait(Response& response, bool streaming) {
  ++waiting;
  if (streaming) response.begin_stream(200, "text/event-stream", {{"Cache-Control", "no-cache"}});
  while (!release) {
    if (response.client_gone()) {
      ++gone;
      break;
    }
    std::this_thread::sleep_for(milliseconds{10});
  }
  --waiting;
  if (streaming) {
    if (!response.write("data: [DONE]\n\n")) ++write_failures;
  } else {
    response.send(200, "text/plain", "done");
  }
}

void TestServer::handle(const Request& request, Response& response) {
  if (request.path == "/wait") return wait(response, false);
  if (request.path == "/hold") return wait(response, true);
  if (request.path == "/throw") throw std::runtime_error("secret text");
  if (request.path == "/nothing") return;
  if (request.path == "/late-throw") {
    response.begin_stream(200, "text/plain");
    if (!response.write("part")) ++write_failures;
    throw std::runtime_error("secret text");
  }
  if (request.path == "/stream") {
    response.begin_stream(200, "text/event-stream",
                          {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
    for (const char* piece : {"data: a\n\n", "", "data: b\n\n"}) {
      if (!response.write(piece)) ++write_failures;
    }
    return;
  }
  if (request.path == "/flood") {
    const std::string piece(64 << 10, 'x');
    response.begin_stream(200, "text/plain");
    for (int i = 0; i < 10'000; ++i) {
      if (!response.write(piece)) {
        ++write_failures;
        return;
      }
    }
    return;
  }
  if (request.path == "/inject")
    return response.send(200, "text/plain\r\nX-Bad: 1", "ok", {{"X-Echo", "a\r\nSet-Cookie: b=c"}});
  if (request.path == "/empty") return response.send(204, "text/plain", "");
  response.send(200, "text/plain",
                request.method + " " + request.path + " ?" + request.query + " " +
                    request.remote_address + " [" + request.body + "]",
                {{"X-Header", std::string(request.header("x-header"))}});
}

std::string get(std::string_view path, std::string_view headers) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) +
         "\r\n";
}

std::string post(std::string_view path, std::string_view body, std::string_view headers) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body);
}

}  // namespace hearth::http
