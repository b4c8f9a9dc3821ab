#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "engine/scheduler/fair_share.h"
#include "tests/engine/scheduler/support_driver.h"

namespace hearth {
namespace {

using testing::Driver;
using testing::make_tokens;

/// Jain's index: 1 if all have the same, 1/n if one has all.
double jain(const std::vector<double>& shares) {
  double sum = 0.0;
  double squares = 0.0;
  for (const double share : shares) {
    sum += share;
    squares += share * share;
  }
  return sum * sum / (static_cast<double>(shares.size()) * squares);
}

struct Load {
  int32_t backlog;  // sequences that a key keeps waiting or running
  int32_t prompt;
  int32_t answer;
  int32_t pause = 0;  // steps between an answer and the next request
};

/// Tokens computed for each key while all keep their backlog, after a warm-up.
std::vector<double> served(const SchedulerOptions& options, const std::vector<Load>& loads,
                           int steps) {
  Driver driver(options);
  SequenceId next = 1;
  std::vector<double> tokens(loads.size(), 0.0);
  std::map<SequenceId, size_t> owner;
  std::vector<int32_t> open(loads.size(), 0);
  std::multimap<int, size_t> asks_again;  // step -> key
  for (int step = 0; step < steps; ++step) {
    for (; !asks_again.empty() && asks_again.begin()->first <= step;
         asks_again.erase(asks_again.begin()))
      --open[asks_again.begin()->second];
    for (size_t key = 0; key < loads.size(); ++key) {
      for (; open[key] < loads[key].backlog; ++open[key]) {
        owner[next] = key;
        driver.add({.id = next, .fairness_key = "user" + std::to_string(key)},
                   make_tokens(loads[key].prompt, static_cast<int32_t>(next)),
                   static_cast<size_t>(loads[key].prompt + loads[key].answer));
        ++next;
      }
    }
    const size_t ended = driver.ended.size();
    for (const ScheduledRows& rows : driver.step(64, step % 64 == 0))
      if (step > steps / 10) tokens[owner.at(rows.sequence)] += rows.row_count;
    for (size_t i = ended; i < driver.ended.size(); ++i) {
      const size_t key = owner.at(driver.ended[i]);
      asks_again.emplace(step + 1 + loads[key].pause, key);
    }
  }
  return tokens;
}

constexpr SchedulerOptions kServer{.step_tokens = 512,
                                   .prefill_chunk = 256,
                                   .max_running = 8,
                                   .page_tokens = 32,
                                   .num_pages = 1024};

}  // namespace

TEST_CASE("one greedy key and nine light ones have equal shares while all wait") {
  std::vector<Load> loads(10, Load{.backlog = 2, .prompt = 60, .answer = 60});
  loads[0] = {.backlog = 50, .prompt = 200, .answer = 400};
  const auto shares = served(kServer, loads, 20'000);
  const double index = jain(shares);
  MESSAGE("Jain index ", index, "; greedy had ", shares[0], " tokens, a light one ", shares[1]);
  CHECK(index > 0.95);
}

TEST_CASE("keys that ask again only when they have their answer keep their shares") {
  // The place that a light key leaves is taken before its client has asked again.
  std::vector<Load> loads(10, Load{.backlog = 1, .prompt = 30, .answer = 60, .pause = 1});
  loads[0] = {.backlog = 32, .prompt = 30, .answer = 60};
  const auto shares = served(kServer, loads, 20'000);
  const double index = jain(shares);
  MESSAGE("Jain index ", index, "; greedy had ", shares[0], " tokens, a light one ", shares[1]);
  CHECK(index > 0.95);
}

TEST_CASE("shares are equal whether tokens are prompts or answers, and with more keys than slots") {
  std::vector<Load> loads(20, Load{.backlog = 2, .prompt = 20, .answer = 300});
  for (size_t key = 10; key < 20; ++key) loads[key] = {.backlog = 2, .prompt = 900, .answer = 10};
  const double index = jain(served(kServer, loads, 40'000));
  MESSAGE("Jain index ", index);
  CHECK(index > 0.95);
}

TEST_CASE("a newcomer gets a place in a batch that one key has filled, before its answers end") {
  Driver driver(kServer);
  for (SequenceId id = 1; id <= 20; ++id)
    driver.add({.id = id, .fairness_key = "greedy"}, make_tokens(40, static_cast<int32_t>(id)),
               4000);
  for (int i = 0; i < 500; ++i) driver.step(64);
  driver.add({.id = 99, .fairness_key = "light"}, make_tokens(40, 99), 50);
  int waited = 0;
  while (driver.ended.empty()) {
    driver.step(64);
    ++waited;
  }
  CHECK(driver.ended == std::vector<SequenceId>{99});
  CHECK(waited < 40);  // a turn of the others, and its own eleven steps
  CHECK(driver.scheduler.counts().preemptions >= 1);
}

TEST_CASE("keys that all wait alike make each other pause once in a lead, not more") {
  Driver driver(kServer);
  for (SequenceId id = 1; id <= 16; ++id)
    driver.add({.id = id, .fairness_key = "user" + std::to_string(id)},
               make_tokens(40, static_cast<int32_t>(id)), 2000);
  uint64_t rows = 0;
  while (!driver.scheduler.empty()) {
    driver.step(64, false);
    rows += static_cast<uint64_t>(driver.scheduler.running());
  }
  const uint64_t pauses = driver.scheduler.counts().preemptions;
  MESSAGE(pauses, " pauses in ", rows, " rows");
  CHECK(pauses > 0);
  CHECK(pauses <= rows / kFairLeadTokens);
}

TEST_CASE("a key that was away starts level with the least served, and cannot save up") {
  FairShare shares;
  FairShare::Flow* busy = shares.join("busy");
  busy->served_tokens += 1000;
  FairShare::Flow* fresh = shares.join("fresh");
  CHECK(fresh->served_tokens == 1000);
  fresh->served_tokens += 500;
  shares.leave(fresh);
  CHECK(shares.join("fresh")->served_tokens == 1500);  // nor does leaving wash the account
  shares.leave(busy);
  CHECK(shares.join("busy")->served_tokens == 1500);
}

TEST_CASE("when all have gone every account is closed") {
  FairShare shares;
  FairShare::Flow* flow = shares.join("a");
  flow->served_tokens = 77;
  shares.leave(flow);
  CHECK(shares.join("a")->served_tokens == 0);
}

TEST_CASE("names without end cost bounded memory") {
  FairShare shares;
  FairShare::Flow* present = shares.join("present");
  for (int i = 0; i < 20'000; ++i) {
    FairShare::Flow* flow = shares.join("name" + std::to_string(i));
    flow->served_tokens += static_cast<uint64_t>(i % 7);
    shares.leave(flow);
    REQUIRE(shares.size() <= FairShare::kMaxAbsent + 2);
  }
  CHECK(present->sequences == 1);
}

}  // namespace hearth
