#include <doctest/doctest.h>

#include <numeric>

#include "tests/server/gateway/gateway_harness.h"

using namespace hearth;
using namespace hearth::testing;

namespace {

constexpr int32_t kPage = 16;  // tokens of a page, as the harness's workers say

GenerateRequest prompt_of(int32_t tokens, int32_t first = 0, uint64_t salt = 0) {
  GenerateRequest out = request();
  out.prompt.resize(static_cast<size_t>(tokens));
  std::iota(out.prompt.begin(), out.prompt.end(), first);
  out.cache_salt = salt;
  return out;
}

std::unique_ptr<Generation> submit_prompt(Harness& harness, GenerateRequest request) {
  auto generation = harness.gateway.submit(std::move(request));
  REQUIRE(generation.has_value());
  return std::move(*generation);
}

int32_t worker_of_last(Harness& harness, const std::vector<int32_t>& before) {
  const auto now = harness.gateway.workers();
  for (size_t i = 0; i < now.size(); ++i)
    if (now[i].requests > before[i]) return static_cast<int32_t>(i);
  return -1;
}

/// Submits and tells which worker got it.
int32_t routed(Harness& harness, GenerateRequest request,
               std::vector<std::unique_ptr<Generation>>& held) {
  std::vector<int32_t> before;
  for (const WorkerStatus& worker : harness.gateway.workers()) before.push_back(worker.requests);
  held.push_back(submit_prompt(harness, std::move(request)));
  return worker_of_last(harness, before);
}

void make_all_ready(Harness& harness, int32_t workers) {
  for (int32_t i = 0; i < workers; ++i) harness.make_ready(i);
}

}  // namespace

TEST_CASE("a prompt goes where its beginning was computed, others where there is least to do") {
  Harness harness(3);
  make_all_ready(harness, 3);
  std::vector<std::unique_ptr<Generation>> held;
  const int32_t first = routed(harness, prompt_of(20 * kPage), held);
  CHECK(routed(harness, prompt_of(20 * kPage, 5000), held) != first);
  // The same beginning, another end.
  auto similar = prompt_of(20 * kPage);
  similar.prompt.back() = 9999;
  CHECK(routed(harness, similar, held) == first);
  // The same beginning of another key: nothing is shared.
  CHECK(routed(harness, prompt_of(20 * kPage, 0, 77), held) != first);
}

TEST_CASE("affinity yields to load once computing the prompt again is cheaper than waiting") {
  Harness harness(2);
  make_all_ready(harness, 2);
  std::vector<std::unique_ptr<Generation>> held;
  // 8 pages of 16 tokens are worth two streams, and four of sixteen are nothing.
  const int32_t first = routed(harness, prompt_of(8 * kPage), held);
  for (int i = 1; i <= 6; ++i) CHECK(routed(harness, prompt_of(8 * kPage), held) == first);
  CHECK(routed(harness, prompt_of(8 * kPage), held) != first);
  // Now both know it, and load decides.
  for (int i = 2; i <= 5; ++i) CHECK(routed(harness, prompt_of(8 * kPage), held) != first);
}

TEST_CASE("a worker without a free place gets nothing while another has one") {
  Gateway::Options options;
  options.num_workers = 2;
  options.parallel = 3;
  Harness harness(options);
  make_all_ready(harness, 2);
  std::vector<std::unique_ptr<Generation>> held;
  const int32_t first = routed(harness, prompt_of(1000 * kPage), held);
  for (int i = 0; i < 2; ++i) CHECK(routed(harness, prompt_of(1000 * kPage), held) == first);
  CHECK(routed(harness, prompt_of(1000 * kPage), held) != first);
}

TEST_CASE("a conversation goes on at the worker that gave its last answer") {
  Harness harness(2);
  make_all_ready(harness, 2);
  GenerateRequest opening = prompt_of(10);  // no full page
  opening.max_tokens = 100;
  auto generation = submit_prompt(harness, opening);
  const auto id = harness.next_submit(0).id;
  std::vector<EngineEvent> answer;
  for (int32_t i = 0; i < 40; ++i) answer.emplace_back(token(id, i));
  answer.emplace_back(finish(id, 40));
  harness.send_events(0, answer);
  for (size_t i = 0; i < answer.size(); ++i) REQUIRE(generation->next(kSoon).has_value());
  generation.reset();

  GenerateRequest reply = opening;
  for (int32_t i = 0; i < 40; ++i) reply.prompt.push_back(50 + i);
  reply.prompt.push_back(7);
  std::vector<std::unique_ptr<Generation>> held;
  CHECK(routed(harness, reply, held) == 0);  // by turns it would be worker 1
}

TEST_CASE("a worker that was started anew has an empty cache") {
  Harness harness(2);
  make_all_ready(harness, 2);
  std::vector<std::unique_ptr<Generation>> held;
  const int32_t first = routed(harness, prompt_of(20 * kPage), held);
  held.clear();
  harness.end(first, WorkerEnd::kKilled);
  harness.make_ready(first);
  CHECK(routed(harness, prompt_of(20 * kPage), held) != first);
}

TEST_CASE("a draining or dead worker is never chosen, whatever it has cached") {
  Harness harness(2);
  make_all_ready(harness, 2);
  std::vector<std::unique_ptr<Generation>> held;
  const int32_t first = routed(harness, prompt_of(100 * kPage), held);
  harness.kill(first);
  Harness::wait_for([&] { return harness.state(first) == WorkerState::kDown; });
  CHECK(routed(harness, prompt_of(100 * kPage), held) == 1 - first);
}

TEST_CASE("what no worker has is told by a gauge") {
  Harness harness(1);
  harness.make_ready(0);
  harness.end(0, WorkerEnd::kKilled);
  auto first = submit(harness);
  auto second = submit(harness);
  CHECK(harness.exposes("hearth_waiting_requests 2"));
  second.reset();
  CHECK(harness.exposes("hearth_waiting_requests 1"));
  harness.make_ready(0);
  (void)harness.next_submit(0);
  CHECK(harness.exposes("hearth_waiting_requests 0"));
}

TEST_CASE("all workers are told of a new log level") {
  Harness harness(2);
  make_all_ready(harness, 2);
  harness.gateway.set_worker_log_level("debug");
  for (int32_t i = 0; i < 2; ++i) CHECK(harness.next(i) == ipc::Down(ipc::SetLogLevel{"debug"}));
}
