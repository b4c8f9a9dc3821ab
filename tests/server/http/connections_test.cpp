// Many connections, slow ones, and ones that go away.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "support_raw_client.h"

namespace hearth::http {
namespace {

using std::chrono::steady_clock;

Limits few_connections(int32_t count) {
  Limits limits = TestServer::short_limits();
  limits.max_connections = count;
  // No place may come free by itself while a test counts them, on a busy machine too.
  limits.header_timeout = milliseconds{20'000};
  limits.keep_alive_timeout = milliseconds{20'000};
  return limits;
}

std::vector<RawClient> open_streams(TestServer& server, int count) {
  std::vector<RawClient> clients;
  for (int i = 0; i < count; ++i) {
    clients.emplace_back(server.port());
    clients.back().send(get("/hold"));
  }
  REQUIRE(eventually([&] { return server.waiting == count; }));
  return clients;
}

/// The lowest descriptor that listens on `port`: the one that the library accepts from.
int listening_fd(int port) {
  for (int fd = 3; fd < 1024; ++fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    sockaddr_in address{};
    size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
        ntohs(address.sin_port) == port)
      return fd;
  }
  return -1;
}

}  // namespace

TEST_CASE("an error of accept() does not end the server") {
  TestServer server;
  CHECK(RawClient(server.port()).exchange(get("/")).value().status == 200);
  const int fd = listening_fd(server.port());
  REQUIRE(fd >= 0);
  const UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(::dup2(nothing.get(), fd) == fd);
  // The first is still taken by the accept() under way; the one after it fails.
  for (int i = 0; i < 3; ++i)
    CHECK(RawClient(server.port()).exchange(get("/")).value().status == 200);
}

TEST_CASE("300 open streams leave the server free for others, and end well") {
  TestServer server;
  auto clients = open_streams(server, 300);
  RawClient other(server.port());
  CHECK(other.exchange(get("/health")).value().status == 200);
  CHECK(other.exchange(post("/x", "y")).value().status == 200);
  server.release = true;
  for (RawClient& client : clients) {
    const auto answer = client.receive();
    REQUIRE(answer);
    CHECK(answer->complete);
    CHECK(answer->body == "data: [DONE]\n\n");
  }
}

TEST_CASE("connections that say nothing block nobody") {
  TestServer server;
  std::vector<RawClient> silent;
  for (int i = 0; i < 64; ++i) silent.emplace_back(server.port());
  CHECK(RawClient(server.port()).exchange(get("/")).value().status == 200);
  CHECK(silent.front().closed_by_server());  // after header_timeout, without a word
}

TEST_CASE("a burst of connects longer than the library's backlog is served") {
  TestServer server;
  std::vector<RawClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back(server.port());
    CHECK(clients.back().send(get("/")));
  }
  for (RawClient& client : clients) {
    const auto answer = client.receive();
    REQUIRE(answer);
    CHECK(answer->status == 200);
  }
}

TEST_CASE("with all connections busy, health is answered and the rest get 503 at once") {
  TestServer server(few_connections(8));
  auto clients = open_streams(server, 8);
  for (const char* path : {"/health", "/livez", "/metrics"}) {
    RawClient vital(server.port());
    const auto answer = vital.exchange(get(path));
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->header("Connection") == "close");
  }
  RawClient other(server.port());
  const auto refused = other.exchange(post("/v1/completions", "{}"));
  REQUIRE(refused);
  CHECK(refused->status == 503);
  CHECK(refused->header("Retry-After") == "1");
  server.release = true;
  for (RawClient& client : clients) CHECK(client.receive().value().complete);
  CHECK(RawClient(server.port()).exchange(get("/")).value().status == 200);
}

TEST_CASE("with the reserve taken as well, connections are turned away with 503") {
  TestServer server(few_connections(2));
  auto clients = open_streams(server, 2);
  std::vector<RawClient> crowd;
  int turned_away = 0;
  for (int i = 0; i < 80; ++i) crowd.emplace_back(server.port());
  for (RawClient& client : crowd) {
    const auto answer = client.receive(false, milliseconds{20});
    if (answer && answer->status == 503) ++turned_away;
  }
  CHECK(turned_away >= 80 - 64);
}

TEST_CASE("idle and crawling connections give way to new ones when places are short") {
  TestServer server(few_connections(4));
  std::vector<RawClient> idle;
  for (int i = 0; i < 4; ++i) {
    idle.emplace_back(server.port());
    CHECK(idle.back().exchange(get("/")).value().status == 200);
  }
  RawClient fresh(server.port());
  const auto answer = fresh.exchange(get("/x"));
  REQUIRE(answer);
  CHECK(answer->status == 200);
  // One went. Which one the server saw idle first is not for clients to say.
  int alive = 0;
  for (RawClient& client : idle) {
    const auto again = client.exchange(get("/"));
    alive += again && again->status == 200;
  }
  CHECK(alive == 3);
}

TEST_CASE("a crawling head is given up after the whole head's time, whatever its rhythm") {
  TestServer server;
  RawClient client(server.port());
  client.send("GET / HTTP/1.1\r\n");
  const auto start = steady_clock::now();
  std::optional<Answer> answer;
  while (!answer && steady_clock::now() - start < milliseconds{5000}) {
    client.send("X: y\r\n");
    answer = client.receive(false, milliseconds{20});
  }
  REQUIRE(answer);
  CHECK(answer->status == 408);
  CHECK(client.closed_by_server());
}

TEST_CASE("a crawling body is given up with 408") {
  TestServer server;
  RawClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  std::optional<Answer> answer;
  for (int i = 0; i < 200 && !answer; ++i) {
    client.send("x");
    answer = client.receive(false, milliseconds{20});
  }
  REQUIRE(answer);
  CHECK(answer->status == 408);
  CHECK(server.handled == 0);
}

TEST_CASE("a handler sees that its client went, streaming or not, reset or closed") {
  for (const char* path : {"/wait", "/hold"}) {
    TestServer server;
    RawClient client(server.port());
    client.send(get(path));
    REQUIRE(eventually([&] { return server.waiting == 1; }));
    CHECK(server.gone == 0);
    client.close();
    CHECK(eventually([&] { return server.gone == 1; }));
    CHECK(eventually([&] { return server.server().open_connections() == 0; }));
  }
}

TEST_CASE("a client that goes is seen behind a pipelined request") {
  TestServer server;
  RawClient client(server.port());
  client.send(get("/wait") + get("/next"));
  REQUIRE(eventually([&] { return server.waiting == 1; }));
  client.half_close();
  CHECK(eventually([&] { return server.gone == 1; }));
}

TEST_CASE("a reader that stalls is dropped after the write limit") {
  TestServer server;
  RawClient client(server.port(), 4096);
  client.send(get("/flood"));
  CHECK(eventually([&] { return server.write_failures == 1; }));
  CHECK(eventually([&] { return server.server().open_connections() == 0; }));
}

TEST_CASE("an idle connection is closed after the keep-alive time") {
  Limits limits = TestServer::short_limits();
  limits.keep_alive_timeout = milliseconds{50};
  TestServer server(limits);
  RawClient client(server.port());
  CHECK(client.exchange(get("/")).value().status == 200);
  CHECK(client.closed_by_server());
}

}  // namespace hearth::http
