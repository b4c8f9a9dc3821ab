#include <doctest/doctest.h>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;

namespace {

Result<std::unique_ptr<Generation>> submit_as(Harness& harness, const std::string& key) {
  GenerateRequest of_key = request();
  of_key.fairness_key = key;
  return harness.gateway.submit(std::move(of_key));
}

}  // namespace

TEST_CASE("a key may have so many live requests and no more") {
  Gateway::Options options;
  options.max_requests_per_key = 2;
  Harness harness(options);
  harness.make_ready(0);
  auto first = submit_as(harness, "a");
  auto second = submit_as(harness, "a");
  REQUIRE(second.has_value());
  const auto refused = submit_as(harness, "a");
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(harness.exposes("hearth_rejected_requests_total{reason=\"key_limit\"} 1"));
  CHECK(submit_as(harness, "b").has_value());
  first->reset();
  CHECK(submit_as(harness, "a").has_value());
}

TEST_CASE("a request that has not begun in time is ended, wherever it waits") {
  Gateway::Options options;
  options.queue_timeout = milliseconds(1000);
  Harness harness(options);
  harness.make_ready(0);
  auto running = submit(harness);
  auto queued = submit(harness);
  for (int i = 0; i < 2; ++i) (void)harness.next_submit(0);
  harness.send(0, ipc::Events{{token(1, 0)}, {{1, 5, 0}}, 1});
  CHECK(running->next(kSoon).has_value());
  harness.clock.advance(milliseconds(1000));
  CHECK(failure_of(*queued).code == ErrorCode::kUnavailable);
  CHECK(harness.next(0) == ipc::Down(ipc::Cancel{2}));
  // One that had begun goes on, also when its worker dies and none is there for long.
  harness.end(0, WorkerEnd::kKilled);
  auto waiting = submit(harness);
  harness.clock.advance(milliseconds(1000));
  CHECK(failure_of(*waiting).code == ErrorCode::kUnavailable);
  CHECK(harness.gateway.live_requests() == 1);
  CHECK(harness.exposes("hearth_rejected_requests_total{reason=\"queue_timeout\"} 2"));
}

TEST_CASE("the prefix-cache salt comes from the server, by key") {
  Gateway::Options options;
  options.cache_salt = [](const std::string& key) { return key.size(); };
  Harness harness(options);
  harness.make_ready(0);
  auto generation = submit_as(harness, "abc");
  CHECK(harness.next_submit(0).cache_salt == 3);
}
