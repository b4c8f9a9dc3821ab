#include "server/ipc/channel.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <string>
#include <utility>

using namespace hearth;
using namespace hearth::ipc;

namespace {

struct Pair {
  Pair() {
    auto fds = socket_pair();
    REQUIRE(fds.has_value());
    gateway.emplace(std::move(fds->first));
    worker.emplace(std::move(fds->second));
  }
  std::optional<Channel> gateway;
  std::optional<Channel> worker;
};

Submit large_submit(size_t tokens) {
  Submit submit;
  submit.request.id = tokens;
  submit.request.prompt.assign(tokens, 7);
  return submit;
}

}  // namespace

TEST_CASE("the sockets do not block and are closed by exec") {
  const auto fds = socket_pair();
  REQUIRE(fds.has_value());
  for (const int fd : {fds->first.get(), fds->second.get()}) {
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("messages arrive whole and in order, however the bytes are cut") {
  Pair pair;
  REQUIRE(pair.gateway->send(Down(Cancel{1})).has_value());
  REQUIRE(pair.gateway->send(Down(large_submit(1'000'000))).has_value());
  REQUIRE(pair.gateway->send(Down(Cancel{2})).has_value());
  CHECK(pair.gateway->unsent_bytes() > 0);  // four million bytes do not fit the socket

  std::vector<Down> got;
  while (got.size() < 3) {
    REQUIRE(pair.gateway->flush().has_value());
    REQUIRE(pair.worker->receive() == Channel::Receive::kData);
    while (true) {
      const auto frame = pair.worker->next_frame();
      REQUIRE(frame.has_value());
      if (!*frame) break;
      auto message = decode_down(**frame);
      REQUIRE(message.has_value());
      got.push_back(std::move(*message));
    }
  }
  CHECK(got[0] == Down(Cancel{1}));
  CHECK(got[1] == Down(large_submit(1'000'000)));
  CHECK(got[2] == Down(Cancel{2}));
  CHECK(pair.gateway->unsent_bytes() == 0);
  CHECK(pair.worker->receive() == Channel::Receive::kNothing);
}

TEST_CASE("a peer that died: what it had sent is read, a frame cut short is not") {
  Pair pair;
  REQUIRE(pair.worker->send(Up(Events{{FinishEvent{5, 0, FinishReason::kStop, 1, 0}}, {}, 1}))
              .has_value());
  std::string cut;
  REQUIRE(append_frame(cut, Up(Stats{})).has_value());
  REQUIRE(::send(pair.worker->fd(), cut.data(), cut.size() - 3, 0) > 0);
  pair.worker.reset();

  REQUIRE(pair.gateway->receive() == Channel::Receive::kData);
  CHECK(pair.gateway->receive() == Channel::Receive::kClosed);
  auto frame = pair.gateway->next_frame();
  REQUIRE(frame.has_value());
  REQUIRE(frame->has_value());
  CHECK(std::holds_alternative<Events>(decode_up(**frame).value()));
  frame = pair.gateway->next_frame();
  REQUIRE(frame.has_value());
  CHECK(!frame->has_value());
  const auto status = pair.gateway->send(Down(Cancel{1}));
  REQUIRE(!status.has_value());
  CHECK(status.error().code == ErrorCode::kIo);
}

TEST_CASE("a length over the limit breaks the stream") {
  Pair pair;
  const uint32_t length = kMaxFrameBytes + 1;
  REQUIRE(::send(pair.worker->fd(), &length, sizeof length, 0) == sizeof length);
  REQUIRE(pair.gateway->receive() == Channel::Receive::kData);
  const auto frame = pair.gateway->next_frame();
  REQUIRE(!frame.has_value());
  CHECK(frame.error().code == ErrorCode::kMalformed);
}

TEST_CASE("a blocking flush gives up when nobody reads") {
  Pair pair;
  REQUIRE(pair.worker->send(Up(Stats{})).has_value());
  CHECK(pair.worker->flush_blocking(0));
  Events many;
  many.events.assign(200'000, TokenEvent{});
  REQUIRE(pair.worker->send(Up(many)).has_value());
  CHECK(!pair.worker->flush_blocking(0));
}
