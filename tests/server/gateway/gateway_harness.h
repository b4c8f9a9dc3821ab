#pragma once
// A gateway whose workers are played by the test.

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/gateway/gateway.h"

namespace hearth::testing {

using std::chrono::milliseconds;

inline constexpr milliseconds kSoon{5000};  // a bound for hangs, not a measure

/// Moves only when told to, while other threads look at it.
class TestClock final : public Clock {
 public:
  [[nodiscard]] Nanoseconds now() const override { return Nanoseconds(now_); }
  void advance(Nanoseconds by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{1'000'000'000};
};

/// A gateway whose workers are the other ends of its sockets, played by the test.
class Harness {
 public:
  explicit Harness(int32_t num_workers, int32_t max_requests = 100, size_t max_queued_events = 1000,
                   milliseconds deadline = milliseconds(0))
      : Harness(Gateway::Options{num_workers, max_requests, max_queued_events, "m", deadline}) {}
  explicit Harness(const Gateway::Options& options)
      : gateway(options,
                Gateway::Listener{[this](int32_t, const ipc::Ready&) { ++ready_count; },
                                  [this](int32_t, const ipc::LoadFailed&) {
                                    ++failed_count;
                                    if (on_load_failed) on_load_failed();
                                  },
                                  [this](int32_t, int32_t) { ++lost_count; }},
                registry, clock),
        workers(static_cast<size_t>(options.num_workers)) {}

  void start(int32_t worker) {
    auto fds = ipc::socket_pair();
    REQUIRE(fds.has_value());
    REQUIRE(gateway.attach(worker, pids.at(static_cast<size_t>(worker)), std::move(fds->first))
                .has_value());
    workers[static_cast<size_t>(worker)] = std::make_unique<ipc::Channel>(std::move(fds->second));
  }
  void make_ready(int32_t worker) {
    start(worker);
    send(worker, ipc::Ready{1000 + worker, 4096, 100, 16, 256, "f16", "plan"});
    wait_for([&] { return state(worker) == WorkerState::kReady; });
  }
  void kill(int32_t worker) { workers[static_cast<size_t>(worker)].reset(); }
  /// The process is gone, and the supervisor has told so.
  void end(int32_t worker, WorkerEnd end) {
    kill(worker);
    gateway.worker_ended(worker, end);
  }

  void send(int32_t worker, const ipc::Up& message, ipc::Channel::Attachment attachment = {}) {
    REQUIRE(workers[static_cast<size_t>(worker)]->send(message, attachment).has_value());
  }
  void send_events(int32_t worker, std::vector<EngineEvent> events) {
    send(worker, ipc::Events{std::move(events), {}, 1});
  }
  /// What the gateway says to a worker next.
  ipc::Down next(int32_t worker) {
    ipc::Channel& channel = *workers[static_cast<size_t>(worker)];
    while (true) {
      auto frame = channel.next_frame();
      REQUIRE(frame.has_value());
      if (*frame) return ipc::decode_down(**frame).value();
      if (channel.receive() != ipc::Channel::Receive::kData)
        std::this_thread::sleep_for(milliseconds(1));
    }
  }
  /// The descriptor of the message that next() gave.
  UniqueFd descriptor(int32_t worker) {
    return workers[static_cast<size_t>(worker)]->take_descriptor();
  }
  /// Whether anything has come that next() has not given, or comes soon.
  bool hears_nothing(int32_t worker) {
    ipc::Channel& channel = *workers[static_cast<size_t>(worker)];
    std::this_thread::sleep_for(milliseconds(50));
    (void)channel.receive();
    const auto frame = channel.next_frame();
    REQUIRE(frame.has_value());
    return !frame->has_value();
  }
  GenerateRequest next_submit(int32_t worker) {
    return std::get<ipc::Submit>(next(worker)).request;
  }
  WorkerState state(int32_t worker) const {
    return gateway.workers()[static_cast<size_t>(worker)].state;
  }
  template <typename F>
  static void wait_for(F&& condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(1));
    REQUIRE(condition());
  }
  [[nodiscard]] bool exposes(const std::string& line) const {
    return registry.expose().find(line + "\n") != std::string::npos;
  }

  std::vector<int32_t> pids{1'000'000'000, 1'000'000'001, 1'000'000'002};  // of no process

  TestClock clock;
  metrics::Registry registry;
  std::atomic<int> ready_count{0};
  std::atomic<int> failed_count{0};
  std::atomic<int> lost_count{0};
  std::function<void()> on_load_failed = {};  // on the gateway's thread
  Gateway gateway;
  std::vector<std::unique_ptr<ipc::Channel>> workers;
};

inline GenerateRequest request(int32_t num_choices = 1) {
  GenerateRequest out;
  out.prompt = {1, 2, 3};
  out.max_tokens = 10;
  out.num_choices = num_choices;
  return out;
}

inline std::unique_ptr<Generation> submit(Harness& harness, int32_t num_choices = 1) {
  auto generation = harness.gateway.submit(request(num_choices));
  REQUIRE(generation.has_value());
  return std::move(*generation);
}

inline FailEvent failure_of(Generation& generation) {
  const auto event = generation.next(kSoon);
  REQUIRE(event.has_value());
  REQUIRE(std::holds_alternative<FailEvent>(*event));
  return std::get<FailEvent>(*event);
}

inline TokenEvent token(RequestId id, int32_t index, int32_t choice = 0) {
  return TokenEvent{id, choice, index, 50 + index, 0.0F, {}};
}

inline FinishEvent finish(RequestId id, int32_t tokens, int32_t choice = 0) {
  return FinishEvent{id, choice, FinishReason::kStop, tokens, 2};
}

}  // namespace hearth::testing
