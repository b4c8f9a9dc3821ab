#include "engine/scheduler/scheduler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

namespace hearth {
namespace {

constexpr SchedulerOptions kSmall{
    .step_tokens = 16, .prefill_chunk = 8, .max_running = 4, .page_tokens = 4, .num_pages = 16};
constexpr int32_t kNoChunkLimit = 1 << 20;

/// Runs one step as the engine does: every sequence that samples gets one more token, and is
/// removed when it has `longest` tokens.
std::vector<ScheduledRows> run_step(Scheduler& scheduler, std::map<SequenceId, int32_t>& tokens,
                                    const std::map<SequenceId, int32_t>& longest) {
  const auto span = scheduler.schedule();
  scheduler.check_invariants();
  std::vector<ScheduledRows> rows(span.begin(), span.end());
  scheduler.complete();
  for (const ScheduledRows& scheduled : rows) {
    if (!scheduled.samples) continue;
    if (++tokens[scheduled.sequence] >= longest.at(scheduled.sequence)) {
      scheduler.remove(scheduled.sequence);
      tokens.erase(scheduled.sequence);
    } else {
      scheduler.append_token(scheduled.sequence);
    }
  }
  scheduler.check_invariants();
  return rows;
}

}  // namespace

TEST_CASE("a long prompt is prefilled in chunks and samples with its last row") {
  Scheduler scheduler(kSmall);
  scheduler.add(1, 20, kNoChunkLimit);
  std::vector<int32_t> chunks;
  bool sampled = false;
  while (!sampled) {
    const auto rows = scheduler.schedule();
    REQUIRE(rows.size() == 1);
    chunks.push_back(rows[0].row_count);
    sampled = rows[0].samples;
    scheduler.complete();
  }
  CHECK(chunks == std::vector<int32_t>{8, 8, 4});
  CHECK(scheduler.pages(1).size() == 5);
}

TEST_CASE("a sequence's own chunk limit is kept") {
  Scheduler scheduler(kSmall);
  scheduler.add(1, 5, 2);
  CHECK(scheduler.schedule()[0].row_count == 2);
}

TEST_CASE("decode rows come first, a prompt that arrives shares the step") {
  Scheduler scheduler(kSmall);
  scheduler.add(1, 3, kNoChunkLimit);
  scheduler.schedule();
  scheduler.complete();
  scheduler.append_token(1);
  scheduler.add(2, 30, kNoChunkLimit);
  const auto rows = scheduler.schedule();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].sequence == 1);
  CHECK(rows[0].row_count == 1);
  CHECK(rows[1].sequence == 2);
  CHECK(rows[1].row_count == 8);
  CHECK_FALSE(rows[1].samples);
}

TEST_CASE("when pages run out the youngest is preempted and comes back") {
  SchedulerOptions options = kSmall;
  options.num_pages = 4;
  Scheduler scheduler(options);
  std::map<SequenceId, int32_t> tokens{{1, 7}, {2, 7}};
  const std::map<SequenceId, int32_t> longest{{1, 14}, {2, 14}};
  scheduler.add(1, 7, kNoChunkLimit);
  scheduler.add(2, 7, kNoChunkLimit);
  std::vector<SequenceId> ended;
  for (int step = 0; step < 100 && !scheduler.empty(); ++step) {
    const size_t before = tokens.size();
    run_step(scheduler, tokens, longest);
    if (tokens.size() < before && !tokens.contains(1) && std::ranges::find(ended, 1) == ended.end())
      ended.push_back(1);
  }
  CHECK(scheduler.empty());
  CHECK(scheduler.preemptions() > 0);
  CHECK(ended == std::vector<SequenceId>{1});  // the older one ended first
  CHECK(scheduler.allocator().used() == 0);
}

TEST_CASE("removing a sequence frees its pages at once, running or waiting") {
  Scheduler scheduler(kSmall);
  scheduler.add(1, 8, kNoChunkLimit);
  scheduler.schedule();
  CHECK(scheduler.allocator().used() == 2);
  scheduler.remove(1);
  CHECK(scheduler.allocator().used() == 0);
  scheduler.add(2, 8, kNoChunkLimit);
  scheduler.remove(2);
  CHECK(scheduler.empty());
}

TEST_CASE("random arrivals, ends and cancels: the books balance and everyone ends") {
  std::mt19937_64 random(7);
  const auto pick = [&random](int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  Scheduler scheduler(kSmall);
  constexpr int32_t kLongest = 64;  // = num_pages * page_tokens: one sequence may take it all
  std::map<SequenceId, int32_t> tokens;
  std::map<SequenceId, int32_t> longest;
  SequenceId next = 1;
  for (int step = 0; step < 20000; ++step) {
    if (step < 18000 && tokens.size() < 12 && pick(0, 3) == 0) {
      const int32_t prompt = pick(1, 50);
      longest[next] = pick(prompt + 1, kLongest);
      tokens[next] = prompt;
      scheduler.add(next++, prompt, pick(0, 4) == 0 ? 3 : kNoChunkLimit);
    }
    if (!tokens.empty() && pick(0, 40) == 0) {
      const auto victim = std::next(tokens.begin(), pick(0, static_cast<int>(tokens.size()) - 1));
      scheduler.remove(victim->first);
      tokens.erase(victim);
    }
    if (scheduler.empty()) continue;
    CHECK_FALSE(run_step(scheduler, tokens, longest).empty());
  }
  CHECK(scheduler.empty());
  CHECK(scheduler.preemptions() > 100);
  CHECK(scheduler.allocator().used() == 0);
}

}  // namespace hearth
