#include <doctest/doctest.h>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;

namespace {

constexpr milliseconds kDeadline{1000};

/// Statistics, and the certainty that all that was sent before them was read.
void send_stats(Harness& harness, int32_t worker, uint64_t steps) {
  ipc::Stats stats;
  stats.engine.steps = steps;
  harness.send(worker, stats);
  Harness::wait_for([&] {
    return harness.gateway.workers()[static_cast<size_t>(worker)].stats.engine.steps == steps;
  });
}

}  // namespace

TEST_CASE("a worker that has work and makes no progress is given up, and its work goes on") {
  Harness harness(2, 100, 1000, kDeadline);
  harness.make_ready(0);
  harness.make_ready(1);
  auto generation = submit(harness);
  CHECK(harness.next_submit(0).id == 1);
  harness.clock.advance(kDeadline / 2);
  send_stats(harness, 0, 1);  // no progress
  CHECK(harness.lost_count == 0);
  harness.clock.advance(kDeadline / 2);
  Harness::wait_for([&] { return harness.lost_count == 1; });
  CHECK(harness.exposes("hearth_worker_hangs_total{worker=\"0\"} 1"));
  CHECK(harness.state(1) == WorkerState::kReady);  // it has no work: no deadline
  harness.end(0, WorkerEnd::kKilled);
  const auto id = harness.next_submit(1).id;
  harness.send_events(1, {finish(id, 0)});
  CHECK(generation->next(kSoon).has_value());
}

TEST_CASE("signs of life within a long step are progress") {
  Harness harness(1, 100, 1000, kDeadline);
  harness.make_ready(0);
  auto generation = submit(harness);
  const auto id = harness.next_submit(0).id;
  for (uint64_t i = 1; i < 20; ++i) {
    harness.clock.advance(kDeadline * 9 / 10);
    harness.send(0, ipc::Alive{});
    send_stats(harness, 0, i);
  }
  harness.send_events(0, {finish(id, 0)});
  CHECK(generation->next(kSoon).has_value());
  CHECK(harness.lost_count == 0);
  // Idle since; work that comes after a long pause has the whole deadline.
  harness.clock.advance(kDeadline * 100);
  auto next = submit(harness);
  harness.clock.advance(kDeadline / 2);
  send_stats(harness, 0, 100);
  CHECK(harness.state(0) == WorkerState::kReady);
}

TEST_CASE("a gateway that was stopped itself blames nobody for what it did not hear") {
  Harness harness(1, 100, 1000, kDeadline);
  harness.make_ready(0);
  auto generation = submit(harness);
  (void)harness.next_submit(0);
  // As after SIGSTOP and SIGCONT of all: the clock has jumped, and nobody could say anything.
  harness.clock.advance(kDeadline * 50);
  send_stats(harness, 0, 1);
  std::this_thread::sleep_for(milliseconds(250));  // more than two looks
  CHECK(harness.lost_count == 0);
  harness.clock.advance(kDeadline);
  Harness::wait_for([&] { return harness.lost_count == 1; });
}

TEST_CASE("a worker that may hang gets no new request") {
  Harness harness(2, 100, 1000, kDeadline);
  harness.make_ready(0);
  harness.make_ready(1);
  auto first = submit(harness);
  (void)harness.next_submit(0);
  auto second = submit(harness, 4);
  const auto id = harness.next_submit(1).id;
  harness.clock.advance(kDeadline * 6 / 10);
  harness.send_events(1, {token(id, 0)});
  send_stats(harness, 1, 1);
  auto third = submit(harness);  // worker 0 has less to do
  CHECK(harness.next_submit(1).id == 3);
}

TEST_CASE("a request under which two workers hang is given up") {
  Harness harness(1, 100, 1000, kDeadline);
  harness.make_ready(0);
  auto generation = submit(harness);
  for (int i = 1; i <= 2; ++i) {
    (void)harness.next_submit(0);
    harness.clock.advance(kDeadline);
    Harness::wait_for([&] { return harness.lost_count == i; });
    harness.end(0, WorkerEnd::kKilled);
    if (i == 1) harness.make_ready(0);
  }
  CHECK(failure_of(*generation).code == ErrorCode::kRequestFailedRepeatedly);
}
