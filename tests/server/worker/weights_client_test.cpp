// A worker that asks for weights; the test plays the gateway.

#include "server/worker/weights_client.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <future>
#include <thread>

using namespace hearth;

namespace {

const WeightsLayout kLayout{"GPU-1", 0, 4096, 11, 12};

class ManualClock final : public Clock {
 public:
  [[nodiscard]] Nanoseconds now() const override { return now_; }
  Nanoseconds now_{0};
};

struct Pair {
  Pair() {
    auto fds = ipc::socket_pair();
    REQUIRE(fds.has_value());
    gateway.emplace(std::move(fds->first));
    worker.emplace(std::move(fds->second));
    client.emplace(*worker, clock);
  }
  void send(const ipc::Down& message, ipc::Channel::Attachment attachment = {}) {
    REQUIRE(gateway->send(message, std::move(attachment)).has_value());
  }
  /// What the worker has said; nothing if there is no more.
  std::optional<ipc::Up> heard() {
    while (true) {
      const auto frame = gateway->next_frame();
      REQUIRE(frame.has_value());
      if (*frame) return ipc::decode_up(**frame).value();
      if (gateway->receive() != ipc::Channel::Receive::kData) return std::nullopt;
    }
  }

  ManualClock clock;
  std::optional<ipc::Channel> gateway;
  std::optional<ipc::Channel> worker;
  std::optional<WeightsClient> client;
};

ipc::Channel::Attachment memory() {
  return std::make_shared<const UniqueFd>(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

ErrorCode code_of(Pair& pair) {
  const auto got = pair.client->acquire(kLayout);
  REQUIRE_FALSE(got.has_value());
  return got.error().code;
}

}  // namespace

TEST_CASE("weights are asked for, uploaded and published, or mapped") {
  Pair pair;
  pair.send(ipc::UploadWeights{kLayout});
  auto got = pair.client->acquire(kLayout);
  REQUIRE(got.has_value());
  CHECK_FALSE(got->has_value());
  CHECK(pair.heard() == ipc::Up(ipc::WantWeights{kLayout}));
  REQUIRE(pair.client->publish(kLayout, UniqueFd(::open("/dev/null", O_RDONLY))).has_value());
  CHECK(pair.heard() == ipc::Up(ipc::HaveWeights{kLayout}));
  CHECK(pair.gateway->take_descriptor().valid());

  pair.send(ipc::MapWeights{kLayout, 5}, memory());
  got = pair.client->acquire(kLayout);
  REQUIRE(got.has_value());
  REQUIRE(got->has_value());
  CHECK((**got).valid());
  (void)pair.heard();
  REQUIRE(pair.client->reject(kLayout, "broken").has_value());
  CHECK(pair.heard() == ipc::Up(ipc::RejectWeights{"GPU-1", 5, "broken"}));
  CHECK_FALSE(pair.client->ended());
}

TEST_CASE("the answer may take long, and other words come before it") {
  Pair pair;
  auto got = std::async(std::launch::async, [&] { return pair.client->acquire(kLayout); });
  const auto level = spdlog::get_level();
  pair.send(ipc::SetLogLevel{"error"});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  pair.send(ipc::MapWeights{kLayout, 1}, memory());
  CHECK(got.get().has_value());
  CHECK(spdlog::get_level() == spdlog::level::err);
  spdlog::set_level(level);
}

TEST_CASE("answers that are none end the load") {
  WeightsLayout other = kLayout;
  other.bytes = 8192;
  const std::vector<ipc::Down> wrong{ipc::MapWeights{other, 1}, ipc::UploadWeights{other},
                                     ipc::Cancel{1}, ipc::SetLogLevel{"loud"}};
  for (const ipc::Down& answer : wrong) {
    Pair pair;
    pair.send(answer, memory());
    CHECK(code_of(pair) == ErrorCode::kMalformed);
  }
  Pair bare;
  bare.send(ipc::MapWeights{kLayout, 1});  // without a descriptor
  CHECK(code_of(bare) == ErrorCode::kMalformed);
  Pair refused;
  refused.send(ipc::RefuseWeights{"the model file has changed"});
  CHECK(code_of(refused) == ErrorCode::kUnavailable);
  CHECK_FALSE(refused.client->ended());
}

TEST_CASE("a gateway that ends, or has gone, ends the wait and the upload") {
  Pair told;
  told.send(ipc::Shutdown{});
  CHECK(code_of(told) == ErrorCode::kUnavailable);
  CHECK(told.client->ended());

  Pair gone;
  gone.gateway.reset();
  CHECK(code_of(gone) == ErrorCode::kUnavailable);
  CHECK(gone.client->ended());

  Pair uploading;
  CHECK(uploading.client->progress(1, 10).has_value());
  uploading.send(ipc::Shutdown{});
  CHECK_FALSE(uploading.client->progress(2, 10).has_value());
  CHECK(uploading.client->ended());
}

TEST_CASE(
    "progress is told when there is some, not more than five times a second, and at the end") {
  Pair pair;
  const auto step = [&](uint64_t done, int after_ms) {
    pair.clock.now_ += std::chrono::milliseconds(after_ms);
    REQUIRE(pair.client->progress(done, 100).has_value());
    return pair.heard();
  };
  CHECK(step(0, 0) == ipc::Up(ipc::Loading{0, 100}));
  CHECK_FALSE(step(0, 1000).has_value());  // a sign of life is not progress
  CHECK(step(10, 0) == ipc::Up(ipc::Loading{10, 100}));
  CHECK_FALSE(step(20, 100).has_value());
  CHECK(step(30, 100) == ipc::Up(ipc::Loading{30, 100}));
  CHECK(step(100, 1) == ipc::Up(ipc::Loading{100, 100}));
  CHECK_FALSE(step(100, 1000).has_value());
}
