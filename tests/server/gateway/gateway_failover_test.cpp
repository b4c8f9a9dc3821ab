#include <doctest/doctest.h>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;

namespace {

using Tokens = std::vector<std::vector<int32_t>>;

std::vector<EngineEvent> take(Generation& generation, size_t count) {
  std::vector<EngineEvent> events;
  while (events.size() < count) {
    auto event = generation.next(kSoon);
    REQUIRE(event.has_value());
    events.push_back(std::move(*event));
  }
  return events;
}

bool ended(Generation& generation) { return !generation.next(milliseconds(0)).has_value(); }

}  // namespace

TEST_CASE("a dead worker's request goes on at another with the very next token") {
  Harness harness(2);
  harness.make_ready(0);
  harness.make_ready(1);
  auto moved = submit(harness, 2);
  auto stays = submit(harness);
  const auto id = harness.next_submit(0).id;
  const auto other = harness.next_submit(1).id;
  harness.send_events(0, {token(id, 0, 0), token(id, 0, 1), token(id, 1, 0), finish(id, 2, 1)});
  harness.end(0, WorkerEnd::kKilled);

  const GenerateRequest replay = harness.next_submit(1);
  CHECK(replay.id == id);
  CHECK(replay.prompt == request().prompt);
  CHECK(replay.delivered == Tokens{{50, 51}, {50}});
  CHECK(replay.finished == std::vector<uint8_t>{0, 1});
  harness.send_events(1, {token(other, 0), token(id, 2, 0), finish(id, 3, 0)});
  CHECK(take(*moved, 6) ==
        std::vector<EngineEvent>{
            token(id, 0, 0), token(id, 0, 1), token(id, 1, 0), finish(id, 2, 1), token(id, 2, 0),
            FinishEvent{id, 0, FinishReason::kStop, 3, 0}});  // nothing was cached at its start
  CHECK(ended(*moved));
  CHECK(stays->next(kSoon) == EngineEvent(token(other, 0)));
  CHECK(harness.exposes("hearth_worker_up{worker=\"0\"} 0"));
  CHECK(harness.exposes("hearth_migrated_requests_total{worker=\"0\"} 1"));
  CHECK(harness.gateway.live_requests() == 1);
}

TEST_CASE("without another worker requests wait for the restarted one, new ones too") {
  Harness harness(1, 2);
  harness.make_ready(0);
  auto first = submit(harness);
  const auto id = harness.next_submit(0).id;
  harness.send_events(0, {token(id, 0)});
  harness.end(0, WorkerEnd::kKilled);
  auto second = submit(harness);
  // What waits counts for admission.
  CHECK(harness.gateway.submit(request()).error().code == ErrorCode::kResourceExhausted);
  harness.gateway.drain();  // what was accepted is still finished
  harness.make_ready(0);
  CHECK(harness.next_submit(0).delivered == Tokens{{50}});
  const auto second_id = harness.next_submit(0).id;
  CHECK(second_id == id + 1);  // in the order of arrival
  harness.send_events(0, {finish(id, 1), finish(second_id, 0)});
  CHECK(take(*first, 2).size() == 2);
  CHECK(take(*second, 1).size() == 1);
  CHECK(harness.exposes("hearth_worker_restarts_total{worker=\"0\"} 1"));
}

TEST_CASE("a request whose client has gone is not replayed, wherever it is") {
  Harness harness(1);
  harness.make_ready(0);
  auto running = submit(harness);
  (void)harness.next_submit(0);
  harness.kill(0);
  Harness::wait_for([&] { return harness.state(0) == WorkerState::kDown; });
  running.reset();  // between the end of the socket and that of the process
  harness.gateway.worker_ended(0, WorkerEnd::kKilled);
  auto waiting = submit(harness);
  waiting.reset();
  CHECK(harness.gateway.live_requests() == 0);
  auto wanted = submit(harness);
  harness.make_ready(0);
  CHECK(harness.next_submit(0).id == 3);
}

TEST_CASE("a choice that the reader has stopped ends with its worker") {
  Harness harness(1);
  harness.make_ready(0);
  auto one = submit(harness, 2);
  auto both = submit(harness, 2);
  const auto id = harness.next_submit(0).id;
  const auto both_id = harness.next_submit(0).id;
  harness.send_events(0, {token(id, 0, 0), token(both_id, 0, 0)});
  CHECK(take(*one, 1).size() == 1);
  one->stop_choice(0);
  both->stop_choice(0);
  harness.kill(0);
  Harness::wait_for([&] { return harness.state(0) == WorkerState::kDown; });
  both->stop_choice(1);  // cannot be told to a worker any more
  harness.gateway.worker_ended(0, WorkerEnd::kKilled);
  CHECK(take(*one, 1)[0] == EngineEvent(FinishEvent{id, 0, FinishReason::kStop, 1, 0}));
  CHECK(take(*both, 3).size() == 3);
  CHECK(ended(*both));
  CHECK(harness.gateway.live_requests() == 1);
  harness.make_ready(0);
  const GenerateRequest replay = harness.next_submit(0);
  CHECK(replay.id == id);
  CHECK(replay.finished == std::vector<uint8_t>{1, 0});
  one->stop_choice(1);
  CHECK(harness.next(0) == ipc::Down(ipc::StopChoice{id, 1}));
}

TEST_CASE("prompt log-probabilities are delivered once") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  const auto id = harness.next_submit(0).id;
  const auto scored = [id](int32_t index) { return PromptLogprobEvent{id, index, -1.0F, {}}; };
  harness.send_events(0, {scored(1)});
  harness.end(0, WorkerEnd::kKilled);
  harness.make_ready(0);
  (void)harness.next_submit(0);
  harness.send_events(0, {scored(1), scored(2), token(id, 0), finish(id, 1)});
  const auto events = take(*generation, 4);
  CHECK(events[0] == EngineEvent(scored(1)));
  CHECK(events[1] == EngineEvent(scored(2)));
  CHECK(ended(*generation));
}

TEST_CASE("a replay counts as one request") {
  Harness harness(2);
  harness.make_ready(0);
  harness.make_ready(1);
  auto generation = submit(harness);
  const auto id = harness.next_submit(0).id;
  harness.send(0, ipc::Events{{token(id, 0)}, {{id, 1000, 2}}, 3});
  harness.end(0, WorkerEnd::kKilled);
  (void)harness.next_submit(1);
  harness.send(
      1, ipc::Events{
             {token(id, 1), FinishEvent{id, 0, FinishReason::kStop, 3, 0}}, {{id, 1000, 0}}, 4});
  const auto events = take(*generation, 3);
  CHECK(std::get<FinishEvent>(events[2]).cached_prompt_tokens == 2);  // as it began
  const auto count = [&](const std::string& name) {
    return std::pair(harness.exposes(name + "{model_name=\"m\",engine=\"0\"} 1"),
                     harness.exposes(name + "{model_name=\"m\",engine=\"1\"} 1"));
  };
  CHECK(count("vllm:request_queue_time_seconds_count") == std::pair(true, false));
  CHECK(count("vllm:time_to_first_token_seconds_count") == std::pair(true, false));
  CHECK(count("vllm:request_params_n_count") == std::pair(true, false));
  CHECK(count("vllm:e2e_request_latency_seconds_count") == std::pair(false, true));
  CHECK(harness.exposes("vllm:prompt_tokens_total{model_name=\"m\",engine=\"0\"} 3"));
  CHECK(harness.exposes("vllm:prompt_tokens_total{model_name=\"m\",engine=\"1\"} 0"));
  CHECK(harness.exposes("vllm:generation_tokens_total{model_name=\"m\",engine=\"0\"} 1"));
  CHECK(harness.exposes("vllm:generation_tokens_total{model_name=\"m\",engine=\"1\"} 2"));
}

TEST_CASE("workers killed from outside accuse nobody as long as there is progress") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  GenerateRequest sent = harness.next_submit(0);
  for (int32_t i = 0; i < 8; ++i) {
    harness.send_events(0, {token(sent.id, i)});
    for (int again = 0; again < 10; ++again) {
      harness.end(0, WorkerEnd::kKilled);
      harness.make_ready(0);
      sent = harness.next_submit(0);
      CHECK(std::cmp_equal(sent.delivered[0].size(), i + 1));
    }
  }
  CHECK(take(*generation, 8).size() == 8);
  for (int again = 0; again < 10; ++again) {  // twenty in a row under the same token
    harness.end(0, WorkerEnd::kKilled);
    if (again < 9) harness.make_ready(0);
  }
  CHECK(failure_of(*generation).code == ErrorCode::kRequestFailedRepeatedly);
}

TEST_CASE("what kills two workers is found, and nothing else is blamed") {
  Harness harness(2);
  harness.make_ready(0);
  harness.make_ready(1);
  std::vector<std::unique_ptr<Generation>> all;
  for (int i = 0; i < 6; ++i) all.push_back(submit(harness));  // 1, 3, 5 at worker 0
  const RequestId poison = harness.next_submit(0).id;
  for (int i = 0; i < 2; ++i) (void)harness.next_submit(0);
  for (int i = 0; i < 3; ++i) {
    const auto id = harness.next_submit(1).id;
    harness.send_events(1, {token(id, 0)});
    CHECK(take(*all[id - 1], 1).size() == 1);
  }
  harness.end(0, WorkerEnd::kFault);
  // Worker 1 has nothing unproven: the oldest suspect is tried there, and nothing else.
  CHECK(harness.next_submit(1).id == poison);
  auto fresh = submit(harness);  // 7
  CHECK(harness.gateway.workers()[1].requests == 4);
  harness.make_ready(0);
  // One worker of two tests at a time; the other takes what is not suspect.
  CHECK(harness.next_submit(0).id == 7);
  harness.end(1, WorkerEnd::kFault);
  CHECK(failure_of(*all[0]).code == ErrorCode::kRequestFailedRepeatedly);
  harness.send_events(0, {token(7, 0)});
  // Worker 0 has proven all it has; the next suspect is tried there, then the next, each alone.
  for (const RequestId suspect : std::vector<RequestId>{2, 3, 4, 5, 6}) {
    CAPTURE(suspect);
    CHECK(harness.next_submit(0).id == suspect);
    const bool begun = suspect % 2 == 0;
    harness.send_events(0, {token(suspect, begun ? 1 : 0)});
    CHECK(take(*all[suspect - 1], 1).size() == 1);
  }
  CHECK(harness.gateway.live_requests() == 6);
  CHECK(harness.gateway.workers()[0].requests == 6);
}

TEST_CASE("a suspect whose worker is killed from outside is neither cleared nor condemned") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  (void)harness.next_submit(0);
  harness.end(0, WorkerEnd::kFault);
  harness.make_ready(0);
  (void)harness.next_submit(0);
  auto second = submit(harness);  // waits: the suspect is alone
  harness.end(0, WorkerEnd::kKilled);
  harness.make_ready(0);
  CHECK(harness.next_submit(0).id == 1);
  CHECK(harness.gateway.workers()[0].requests == 1);
  harness.end(0, WorkerEnd::kFault);
  CHECK(failure_of(*generation).code == ErrorCode::kRequestFailedRepeatedly);
  harness.make_ready(0);
  CHECK(harness.next_submit(0).id == 2);
}

TEST_CASE("a worker that breaks the protocol is at fault") {
  Harness harness(1);
  harness.make_ready(0);
  auto generation = submit(harness);
  for (int i = 0; i < 2; ++i) {
    const auto id = harness.next_submit(0).id;
    harness.send_events(0, {token(id, 1)});  // a gap
    Harness::wait_for([&] { return harness.lost_count == i + 1; });
    harness.end(0, WorkerEnd::kKilled);  // the gateway had it killed
    if (i == 0) harness.make_ready(0);
  }
  CHECK(failure_of(*generation).code == ErrorCode::kRequestFailedRepeatedly);
}
