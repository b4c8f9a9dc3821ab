#include "server/ipc/channel.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

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

namespace {

/// A descriptor that can be told from others by its file's size.
std::shared_ptr<const UniqueFd> marked(off_t size) {
  UniqueFd fd(::memfd_create("mark", MFD_CLOEXEC));
  REQUIRE(fd.valid());
  REQUIRE(::ftruncate(fd.get(), size) == 0);
  return std::make_shared<const UniqueFd>(std::move(fd));
}

off_t mark_of(const UniqueFd& fd) {
  struct stat status {};
  REQUIRE(::fstat(fd.get(), &status) == 0);
  return status.st_size;
}

int open_descriptors() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

}  // namespace

TEST_CASE("descriptors come with their messages, in order, however the bytes are cut") {
  Pair pair;
  // A large message first: all that follows waits in the channel and is sent piece by piece.
  REQUIRE(pair.gateway->send(Down(large_submit(1'000'000))).has_value());
  REQUIRE(pair.gateway->send(Down(MapWeights{{}, 1}), marked(100)).has_value());
  REQUIRE(pair.gateway->send(Down(Cancel{2})).has_value());
  REQUIRE(pair.gateway->send(Down(MapWeights{{}, 3}), marked(300)).has_value());
  REQUIRE(pair.gateway->send(Down(MapWeights{{}, 4}), marked(400)).has_value());
  REQUIRE(pair.gateway->unsent_bytes() > 0);
  std::vector<Down> got;
  std::vector<off_t> marks;
  while (got.size() < 5) {
    REQUIRE(pair.gateway->flush().has_value());
    REQUIRE(pair.worker->receive() == Channel::Receive::kData);
    while (true) {
      const auto frame = pair.worker->next_frame();
      REQUIRE(frame.has_value());
      if (!*frame) break;
      got.push_back(decode_down(**frame).value());
      if (!std::holds_alternative<MapWeights>(got.back())) continue;
      const UniqueFd fd = pair.worker->take_descriptor();
      REQUIRE(fd.valid());
      CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
      marks.push_back(mark_of(fd));
    }
  }
  CHECK(got[2] == Down(Cancel{2}));
  CHECK(marks == std::vector<off_t>{100, 300, 400});
  CHECK_FALSE(pair.worker->take_descriptor().valid());
}

TEST_CASE("no descriptor leaks: sent, unsent, untaken or unwanted") {
  const int before = open_descriptors();
  {
    Pair pair;
    REQUIRE(pair.gateway->send(Down(MapWeights{}), marked(1)).has_value());
    REQUIRE(pair.worker->receive() == Channel::Receive::kData);  // and never taken
    REQUIRE(pair.gateway->send(Down(large_submit(1'000'000))).has_value());
    REQUIRE(pair.gateway->send(Down(MapWeights{}), marked(2)).has_value());
    CHECK(pair.gateway->unsent_bytes() > 0);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a peer that sends descriptors without end breaks the stream") {
  const int before = open_descriptors();
  Pair pair;
  Status broken;
  for (int i = 0; i < 20 && broken.has_value(); ++i) {
    REQUIRE(pair.worker->send(Up(Alive{}), marked(1)).has_value());
    while (pair.gateway->receive() == Channel::Receive::kData) {
    }
    const auto frame = pair.gateway->next_frame();
    if (!frame.has_value()) broken = std::unexpected(frame.error());
  }
  REQUIRE_FALSE(broken.has_value());
  CHECK(broken.error().code == ErrorCode::kMalformed);
  CHECK(open_descriptors() == before + 2);  // the sockets

  // As many in one message.
  Pair other;
  const auto fd = marked(1);
  std::array<int, 20> many{};
  many.fill(fd->get());
  std::array<char, CMSG_SPACE(sizeof many)> control{};
  char byte = 0;
  iovec bytes{.iov_base = &byte, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof many);
  std::memcpy(CMSG_DATA(header), many.data(), sizeof many);
  REQUIRE(::sendmsg(other.worker->fd(), &message, 0) == 1);
  REQUIRE(other.gateway->receive() == Channel::Receive::kData);
  CHECK_FALSE(other.gateway->next_frame().has_value());
}
