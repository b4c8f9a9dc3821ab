#include "server/http/connection_registry.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>

#include "base/unique_fd.h"

namespace hearth::http {
namespace {

/// A connected socket, so that an eviction can shut it down.
class Socket {
 public:
  Socket() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    fd_.reset(ends[0]);
    peer_.reset(ends[1]);
  }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  UniqueFd peer_;
};

/// What a connection does for one request.
void serve(ConnectionRegistry::Place& place) {
  place.set_reading();
  CHECK(place.set_busy());
  CHECK(place.set_idle());
}

}  // namespace

TEST_CASE("the connection that has been idle for longest gives way") {
  const Socket a, b, c, d;
  ConnectionRegistry registry(3, 1);
  auto first = registry.add(a.fd());
  auto second = registry.add(b.fd());
  auto third = registry.add(c.fd());
  CHECK(second.set_idle());
  serve(first);
  third.set_reading();
  CHECK(third.set_busy());
  auto fresh = registry.add(d.fd());
  CHECK(second.evicted());
  CHECK_FALSE(first.evicted());
  CHECK_FALSE(third.evicted());
  CHECK_FALSE(second.set_idle());
  serve(fresh);
}

TEST_CASE("with every connection busy none gives way, and the new one has no regular place") {
  const Socket a, b;
  ConnectionRegistry registry(1, 1);
  auto first = registry.add(a.fd());
  CHECK(first.set_busy());
  auto fresh = registry.add(b.fd());
  CHECK_FALSE(first.evicted());
  CHECK_FALSE(fresh.set_busy());
  CHECK(first.set_idle());
}

}  // namespace hearth::http
