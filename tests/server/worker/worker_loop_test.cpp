#include "server/worker/worker_loop.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <thread>
#include <utility>
#include <vector>

using namespace hearth;

namespace {

/// Each step gives every live request one token; a request ends after max_tokens of them.
class FakeEngine final : public WorkerEngine {
 public:
  Status submit(GenerateRequest request) override {
    if (request.prompt.empty())
      return fail(ErrorCode::kInvalidArgument, "the prompt has no tokens", "prompt");
    queue_times_.push_back({request.id, 1000});
    live_[request.id] = std::move(request);
    return {};
  }
  void cancel(RequestId id) override { stats_.cancelled += live_.erase(id); }
  void stop_choice(RequestId id, int32_t choice) override {
    if (live_.erase(id) > 0) events_.push_back(FinishEvent{id, choice, FinishReason::kStop, 1, 0});
  }
  [[nodiscard]] bool has_work() const override { return !live_.empty(); }
  void step() override {
    REQUIRE(has_work());
    ++stats_.steps;
    progress();
    std::vector<RequestId> done;
    for (auto& [id, request] : live_) {
      const int32_t index = produced_[id]++;
      TokenEvent token{id, 0, index, 100 + index, 0.0F, {}};
      token.top_logprobs.resize(logprobs_per_token);
      events_.push_back(std::move(token));
      ++stats_.generated_tokens;
      if (index + 1 == request.max_tokens) {
        events_.push_back(FinishEvent{id, 0, FinishReason::kLength, index + 1, 0});
        done.push_back(id);
      }
    }
    for (const RequestId id : done) live_.erase(id);
  }
  std::vector<EngineEvent> poll() override { return std::exchange(events_, {}); }
  void on_progress(std::function<void()> call) override { progress = std::move(call); }
  std::vector<QueueTime> take_queue_times() override { return std::exchange(queue_times_, {}); }
  [[nodiscard]] EngineStats stats() const override {
    EngineStats stats = stats_;
    stats.running = static_cast<int32_t>(live_.size());
    return stats;
  }

  size_t logprobs_per_token = 0;
  std::function<void()> progress;

 private:
  std::map<RequestId, GenerateRequest> live_;
  std::map<RequestId, int32_t> produced_;
  std::vector<EngineEvent> events_;
  std::vector<QueueTime> queue_times_;
  EngineStats stats_;
};

/// A loop on its own thread, and the gateway's end of its socket.
class Harness {
 public:
  explicit Harness(FakeEngine& engine, WorkerLoop::Options options = {}) {
    auto fds = ipc::socket_pair();
    REQUIRE(fds.has_value());
    gateway.emplace(std::move(fds->first));
    thread_ = std::thread([this, &engine, options, fd = std::move(fds->second)]() mutable {
      ipc::Channel channel(std::move(fd));
      end = WorkerLoop(channel, engine, SteadyClock(), options).run();
    });
  }
  ~Harness() { join(); }

  void join() {
    gateway.reset();
    if (thread_.joinable()) thread_.join();
  }
  void wait() { thread_.join(); }

  void send(const ipc::Down& message) { REQUIRE(gateway->send(message).has_value()); }

  /// The next message; waits for it.
  ipc::Up next() {
    while (true) {
      auto frame = gateway->next_frame();
      REQUIRE(frame.has_value());
      if (*frame) {
        auto message = ipc::decode_up(**frame);
        REQUIRE(message.has_value());
        return std::move(*message);
      }
      REQUIRE(gateway->flush().has_value());
      if (gateway->receive() == ipc::Channel::Receive::kNothing)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  /// Events until one of the last kind; Stats are kept aside.
  std::vector<EngineEvent> events_until_end() {
    std::vector<EngineEvent> all;
    while (true) {
      auto message = next();
      if (auto* stats = std::get_if<ipc::Stats>(&message)) last_stats = *stats;
      auto* events = std::get_if<ipc::Events>(&message);
      if (events == nullptr) continue;
      for (auto& time : events->queue_times) queue_times.push_back(time);
      step_tokens += events->step_tokens;
      for (auto& event : events->events) {
        all.push_back(std::move(event));
        if (all.back().index() >= 2) return all;  // FinishEvent or FailEvent
      }
    }
  }
  ipc::Stats next_stats() {
    while (true) {
      const auto message = next();
      if (const auto* stats = std::get_if<ipc::Stats>(&message)) return *stats;
    }
  }

  std::optional<ipc::Channel> gateway;
  std::optional<LoopEnd> end;
  ipc::Stats last_stats;
  std::vector<QueueTime> queue_times;
  uint64_t step_tokens = 0;

 private:
  std::thread thread_;
};

ipc::Down submit(RequestId id, int32_t max_tokens) {
  GenerateRequest request;
  request.id = id;
  request.prompt = {1};
  request.max_tokens = max_tokens;
  return ipc::Submit{std::move(request)};
}

}  // namespace

TEST_CASE("what was received while the model was loaded is handled first") {
  auto fds = ipc::socket_pair();
  REQUIRE(fds.has_value());
  ipc::Channel gateway(std::move(fds->first));
  ipc::Channel channel(std::move(fds->second));
  REQUIRE(gateway.send(ipc::Down(ipc::Shutdown{})).has_value());
  REQUIRE(channel.receive() == ipc::Channel::Receive::kData);  // and nothing more comes
  FakeEngine engine;
  CHECK(WorkerLoop(channel, engine, SteadyClock()).run() == LoopEnd::kShutdown);
}

TEST_CASE("words about weights after they were loaded break the protocol") {
  FakeEngine engine;
  Harness worker(engine);
  worker.send(ipc::UploadWeights{});
  worker.wait();
  CHECK(worker.end == LoopEnd::kBrokenProtocol);
}

TEST_CASE("a long step shows signs of life before its events") {
  FakeEngine engine;
  Harness worker(engine, {.alive_interval = std::chrono::milliseconds(0)});
  GenerateRequest request;
  request.id = 7;
  request.prompt = {1};
  request.max_tokens = 1;
  worker.send(ipc::Submit{request});
  bool alive = false;
  while (true) {
    const auto message = worker.next();
    alive = alive || std::holds_alternative<ipc::Alive>(message);
    if (std::holds_alternative<ipc::Events>(message)) break;
  }
  CHECK(alive);
}

TEST_CASE("a request's tokens come in order, then its end") {
  FakeEngine engine;
  Harness worker(engine);
  worker.send(submit(7, 3));
  const auto events = worker.events_until_end();
  REQUIRE(events.size() == 4);
  for (int32_t i = 0; i < 3; ++i)
    CHECK(events[i] == EngineEvent(TokenEvent{7, 0, i, 100 + i, 0.0F, {}}));
  CHECK(events[3] == EngineEvent(FinishEvent{7, 0, FinishReason::kLength, 3, 0}));
  CHECK(worker.queue_times == std::vector<QueueTime>{{7, 1000}});
  CHECK(worker.step_tokens == 3);
}

TEST_CASE("a request that the engine refuses fails with the engine's words") {
  FakeEngine engine;
  Harness worker(engine);
  worker.send(ipc::Submit{});
  const auto events = worker.events_until_end();
  REQUIRE(events.size() == 1);
  CHECK(events[0] ==
        EngineEvent(FailEvent{0, ErrorCode::kInvalidArgument, "the prompt has no tokens"}));
}

TEST_CASE("cancel and stop reach a running request") {
  FakeEngine engine;
  Harness worker(engine);
  worker.send(submit(1, 1'000'000'000));
  worker.send(submit(2, 1'000'000'000));
  worker.send(ipc::StopChoice{1, 0});
  const auto events = worker.events_until_end();
  CHECK(events.back() == EngineEvent(FinishEvent{1, 0, FinishReason::kStop, 1, 0}));
  worker.send(ipc::Cancel{2});
  while (worker.next_stats().engine.running != 0) {
  }
}

TEST_CASE("stats come at the start, with memory, and when the load changes") {
  FakeEngine engine;
  Harness worker(engine, {.max_unsent_bytes = 4U << 20, .stats_interval = std::chrono::hours(1)});
  const auto first = worker.next_stats();
  CHECK(first.resident_bytes > 0);
  CHECK(first.private_bytes > 0);
  CHECK(first.engine.running == 0);
  worker.send(submit(1, 2));
  (void)worker.events_until_end();
  CHECK(worker.next_stats().engine.running == 0);
  CHECK(worker.last_stats.engine.running == 1);
}

TEST_CASE("a gateway that does not read bounds the worker, which still hears it") {
  FakeEngine engine;
  engine.logprobs_per_token = 1000;  // eight thousand bytes a step
  Harness worker(engine, {.max_unsent_bytes = 100'000, .stats_interval = std::chrono::seconds(1)});
  worker.send(submit(1, 1'000'000'000));
  // Nobody reads; the loop fills the socket and its own bound, then waits. Shutdown ends it.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  worker.send(ipc::Shutdown{});
  worker.wait();
  CHECK(worker.end == LoopEnd::kShutdown);
  // The bound, what the sockets hold, and one step more.
  CHECK(engine.stats().steps * 8000 < 2'000'000);
}

TEST_CASE("the loop ends with the gateway") {
  FakeEngine engine;
  Harness idle(engine);
  idle.join();
  CHECK(idle.end == LoopEnd::kGatewayGone);

  FakeEngine busy_engine;
  Harness busy(busy_engine);
  busy.send(submit(1, 1'000'000'000));
  (void)busy.next();
  busy.join();
  CHECK(busy.end == LoopEnd::kGatewayGone);
}

TEST_CASE("what is no message ends the loop") {
  FakeEngine engine;
  Harness worker(engine);
  const std::string nonsense("\x02\0\0\0\x7f\x7f", 6);
  REQUIRE(::write(worker.gateway->fd(), nonsense.data(), nonsense.size()) == 6);
  worker.wait();
  CHECK(worker.end == LoopEnd::kBrokenProtocol);
}
