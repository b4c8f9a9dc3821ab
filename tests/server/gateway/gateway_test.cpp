#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;
using std::chrono::milliseconds;

TEST_CASE("events reach the reader in order, then there are no more") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  const auto sent = harness.next_submit(0);
  CHECK(sent.prompt == request().prompt);
  CHECK(sent.id != 0);
  harness.send_events(0, {token(sent.id, 0), token(sent.id, 1)});
  harness.send_events(0, {finish(sent.id, 3)});
  CHECK(generation->next(kSoon) == EngineEvent(token(sent.id, 0)));
  CHECK(generation->next(kSoon) == EngineEvent(token(sent.id, 1)));
  CHECK(generation->next(kSoon) == EngineEvent(finish(sent.id, 3)));
  CHECK(!generation->next(milliseconds(0)));
  CHECK(harness.gateway.live_requests() == 0);
  const std::string labels = "{model_name=\"m\",engine=\"0\"";
  CHECK(harness.exposes("vllm:prompt_tokens_total" + labels + "} 3"));
  CHECK(harness.exposes("vllm:generation_tokens_total" + labels + "} 3"));
  CHECK(harness.exposes("vllm:prefix_cache_hits_total" + labels + "} 2"));
  CHECK(harness.exposes("vllm:time_to_first_token_seconds_count" + labels + "} 1"));
  CHECK(harness.exposes("vllm:inter_token_latency_seconds_count" + labels + "} 1"));
  CHECK(harness.exposes("vllm:e2e_request_latency_seconds_count" + labels + "} 1"));
  CHECK(harness.exposes("vllm:request_success_total" + labels + ",finished_reason=\"stop\"} 1"));
  CHECK(harness.exposes("vllm:iteration_tokens_total_sum" + labels + "} 2"));
}

TEST_CASE("a request ends with its last choice") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness, 2);
  const auto id = harness.next_submit(0).id;
  harness.send_events(0, {finish(id, 1, 1), token(id, 0, 0)});
  CHECK(generation->next(kSoon) == EngineEvent(finish(id, 1, 1)));
  CHECK(generation->next(kSoon) == EngineEvent(token(id, 0, 0)));
  CHECK(harness.gateway.live_requests() == 1);
  generation->stop_choice(0);
  CHECK(harness.next(0) == ipc::Down(ipc::StopChoice{id, 0}));
  harness.send_events(0, {finish(id, 1, 0)});
  CHECK(generation->next(kSoon) == EngineEvent(finish(id, 1, 0)));
  CHECK(harness.gateway.live_requests() == 0);
}

TEST_CASE("without a ready worker, and while draining, requests are refused") {
  Harness harness(1);
  auto refused = harness.gateway.submit(request());
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == ErrorCode::kUnavailable);
  harness.start(0);
  refused = harness.gateway.submit(request());
  REQUIRE(!refused.has_value());
  CHECK(refused.error().message.find("being loaded") != std::string::npos);
  harness.send(0, ipc::Ready{1, 4096, 100, 16, 256, "f16", "plan"});
  Harness::wait_for([&] { return harness.ready_count == 1; });
  auto running = submit(harness);
  harness.gateway.drain();
  refused = harness.gateway.submit(request());
  REQUIRE(!refused.has_value());
  CHECK(refused.error().message.find("shutting down") != std::string::npos);
  const auto id = harness.next_submit(0).id;
  harness.send_events(0, {finish(id, 0)});
  CHECK(running->next(kSoon) == EngineEvent(finish(id, 0)));
}

TEST_CASE("admission is bounded, and a place is free again at once") {
  Harness harness(1, 2);
  harness.make_ready(0);
  auto first = submit(harness);
  auto second = submit(harness);
  const auto refused = harness.gateway.submit(request());
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(harness.exposes("hearth_rejected_requests_total{reason=\"queue_full\"} 1"));
  first.reset();
  auto third = submit(harness);
  CHECK(harness.gateway.live_requests() == 2);
}

TEST_CASE("the worker with the fewest open choices is chosen, equals in turn") {
  Harness harness(3);
  harness.make_ready(0);
  harness.make_ready(2);  // worker 1 is down
  std::vector<std::unique_ptr<Generation>> held;
  held.push_back(submit(harness, 3));  // worker 0
  held.push_back(submit(harness, 1));  // worker 2
  held.push_back(submit(harness, 1));  // worker 2, still less
  held.push_back(submit(harness, 1));  // worker 2, now as many
  held.push_back(submit(harness, 1));  // worker 0, not chosen for longer
  const auto workers = harness.gateway.workers();
  CHECK(workers[0].requests == 2);
  CHECK(workers[1].requests == 0);
  CHECK(workers[2].requests == 3);
}

TEST_CASE("what a dead worker had sent is read before its successor is attached") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  const auto id = harness.next_submit(0).id;
  harness.send_events(0, {token(id, 0), finish(id, 1)});
  harness.kill(0);
  harness.start(0);
  CHECK(generation->next(kSoon) == EngineEvent(token(id, 0)));
  CHECK(generation->next(kSoon) == EngineEvent(finish(id, 1)));
}

TEST_CASE("destroying a generation cancels it, once it has ended it does not") {
  Harness harness(1);
  harness.make_ready(0);
  auto cancelled = submit(harness);
  const auto id = harness.next_submit(0).id;
  cancelled.reset();
  CHECK(harness.next(0) == ipc::Down(ipc::Cancel{id}));
  CHECK(harness.gateway.live_requests() == 0);
  CHECK(harness.exposes("hearth_cancelled_requests_total{worker=\"0\"} 1"));
  harness.send_events(0, {token(id, 0)});  // late, ignored

  auto ended = submit(harness);
  const auto ended_id = harness.next_submit(0).id;
  harness.send_events(0, {finish(ended_id, 0)});
  CHECK(ended->next(kSoon) == EngineEvent(finish(ended_id, 0)));
  ended.reset();
  auto next = submit(harness);
  CHECK(harness.next_submit(0).id == ended_id + 1);  // no Cancel in between
}

TEST_CASE("a worker that contradicts itself loses its connection, and is to be killed") {
  for (const bool bad_index : {true, false}) {
    Harness harness(1);
    harness.make_ready(0);
    auto generation = submit(harness);
    const auto id = harness.next_submit(0).id;
    harness.send_events(0, {bad_index ? token(id, 1) : token(id, 0, 1)});
    Harness::wait_for([&] { return harness.lost_count == 1; });
    CHECK(harness.state(0) == WorkerState::kDown);
    CHECK(harness.gateway.live_requests() == 1);  // it waits for a worker that makes sense
  }
}

TEST_CASE("a request that the engine refuses fails with the engine's code") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  const auto id = harness.next_submit(0).id;
  harness.send_events(0, {FailEvent{id, ErrorCode::kContextLengthExceeded, "too long"}});
  CHECK(failure_of(*generation) == FailEvent{id, ErrorCode::kContextLengthExceeded, "too long"});
}

TEST_CASE("a reader that does not read bounds its queue") {
  Harness harness(1, 10, 20);
  harness.make_ready(0);
  auto generation = submit(harness);
  const auto id = harness.next_submit(0).id;
  for (int32_t i = 0; i < 21; ++i) harness.send_events(0, {token(id, i)});
  CHECK(harness.next(0) == ipc::Down(ipc::Cancel{id}));
  for (int32_t i = 0; i < 20; ++i) CHECK(generation->next(kSoon) == EngineEvent(token(id, i)));
  CHECK(failure_of(*generation).code == ErrorCode::kResourceExhausted);
}

TEST_CASE("a load failure is told and leaves the worker unready") {
  Harness harness(1);
  harness.start(0);
  harness.send(0, ipc::LoadFailed{ErrorCode::kMalformed, "bad file"});
  harness.kill(0);
  Harness::wait_for([&] { return harness.failed_count == 1; });
  Harness::wait_for([&] { return harness.state(0) == WorkerState::kDown; });
  CHECK(harness.ready_count == 0);
}

TEST_CASE("why a load failed is told although a message to the worker found it gone") {
  Harness harness(2);
  std::promise<void> told;
  std::promise<void> go_on;
  harness.on_load_failed = [&, first = true]() mutable {
    if (!std::exchange(first, false)) return;
    told.set_value();
    go_on.get_future().wait();
  };
  harness.start(1);
  harness.send(1, ipc::LoadFailed{ErrorCode::kMalformed, "bad file"});
  told.get_future().wait();  // the gateway reads nothing now
  harness.start(0);
  harness.send(0, ipc::LoadFailed{ErrorCode::kMalformed, "bad file"});
  harness.kill(0);
  harness.gateway.shut_down_workers();
  CHECK(harness.state(0) == WorkerState::kDown);
  go_on.set_value();
  Harness::wait_for([&] { return harness.failed_count == 2; });
}

TEST_CASE("many readers, two workers that come and go: every request ends exactly once") {
  Harness harness(2);
  harness.make_ready(0);
  harness.make_ready(1);
  std::atomic<bool> stop{false};
  std::atomic<int> finished{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> players;
  for (int32_t worker = 0; worker < 2; ++worker) {
    // Answers every request with two tokens and its end; ignores the rest.
    players.emplace_back([&harness, &stop, worker] {
      while (!stop) {
        ipc::Channel& channel = *harness.workers[static_cast<size_t>(worker)];
        if (channel.receive() != ipc::Channel::Receive::kData)
          std::this_thread::sleep_for(milliseconds(1));
        while (auto frame = channel.next_frame().value()) {
          const auto message = ipc::decode_down(*frame).value();
          const auto* sent = std::get_if<ipc::Submit>(&message);
          if (sent == nullptr) continue;
          const RequestId id = sent->request.id;
          (void)channel.send(
              ipc::Up(ipc::Events{{token(id, 0), token(id, 1), finish(id, 2)}, {{id, 1}}, 2}));
        }
      }
    });
  }
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 8; ++reader) {
    readers.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        auto generation = harness.gateway.submit(request());
        if (!generation.has_value()) continue;
        if (i % 10 == 9) continue;  // goes away at once
        while (const auto event = (*generation)->next(kSoon)) {
          finished += std::holds_alternative<FinishEvent>(*event) ? 1 : 0;
          failed += std::holds_alternative<FailEvent>(*event) ? 1 : 0;
        }
      }
    });
  }
  for (auto& reader : readers) reader.join();
  CHECK(finished == 8 * 90);
  CHECK(failed == 0);
  CHECK(harness.gateway.live_requests() == 0);
  stop = true;
  for (auto& player : players) player.join();
}
