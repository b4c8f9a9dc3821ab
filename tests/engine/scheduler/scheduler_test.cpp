#include "engine/scheduler/scheduler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "tests/engine/scheduler/support_driver.h"

namespace hearth {
namespace {

using testing::Driver;
using testing::make_tokens;

constexpr SchedulerOptions kSmall{
    .step_tokens = 16, .prefill_chunk = 8, .max_running = 4, .page_tokens = 4, .num_pages = 16};

/// Rows of sequence `id` in a step.
int32_t rows_of(const std::vector<ScheduledRows>& rows, SequenceId id) {
  const auto it = std::ranges::find(rows, id, &ScheduledRows::sequence);
  return it == rows.end() ? 0 : it->row_count;
}

}  // namespace

TEST_CASE("a long prompt is prefilled in chunks and samples with its last row") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(20), 22);
  CHECK(rows_of(driver.step(), 1) == 8);
  CHECK(rows_of(driver.step(), 1) == 8);
  const auto last = driver.step();
  CHECK(rows_of(last, 1) == 4);
  CHECK(last[0].samples);
  CHECK(driver.scheduler.pages(1).size() == 5);
}

TEST_CASE("a sequence's own chunk limit is kept") {
  Driver driver(kSmall);
  driver.add({.id = 1, .max_chunk = 2}, make_tokens(5), 8);
  CHECK(rows_of(driver.step(), 1) == 2);
}

TEST_CASE("decode rows come first, a prompt that arrives has the rows allowed beside them") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(3, 1), 20);
  driver.step();
  driver.add({.id = 2}, make_tokens(30, 2), 40);
  const auto rows = driver.step(5);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].sequence == 1);
  CHECK(rows[0].row_count == 1);
  CHECK(rows[1].sequence == 2);
  CHECK(rows[1].row_count == 5);
  CHECK_FALSE(rows[1].samples);
  driver.remove(1);
  CHECK(rows_of(driver.step(5), 2) == 8);  // nobody is made to wait
}

TEST_CASE("when pages run out the last is preempted and comes back") {
  SchedulerOptions options = kSmall;
  options.num_pages = 4;
  Driver driver(options);
  driver.add({.id = 1}, make_tokens(7, 1), 14);
  driver.add({.id = 2}, make_tokens(7, 2), 14);
  while (!driver.scheduler.empty() && driver.steps < 100) driver.step();
  CHECK(driver.scheduler.empty());
  CHECK(driver.scheduler.counts().preemptions > 0);
  CHECK(driver.ended == std::vector<SequenceId>{1, 2});  // the older one first
  CHECK(driver.scheduler.pool().used() == 0);
}

TEST_CASE("removing a sequence frees its pages at once, running or waiting") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(8), 20);
  driver.step();
  CHECK(driver.scheduler.pool().used() == 2);
  driver.remove(1);
  CHECK(driver.scheduler.pool().used() == 0);
  driver.add({.id = 2}, make_tokens(8), 20);
  driver.remove(2);
  CHECK(driver.scheduler.empty());
}

TEST_CASE("a prompt that begins like an earlier one takes its full pages from the cache") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(14), 16);
  while (!driver.scheduler.empty()) driver.step();
  CHECK(driver.scheduler.pool().cached() == 3);  // the fourth page is not full
  auto longer = make_tokens(20);
  driver.add({.id = 2}, longer, 22);
  const auto rows = driver.step();
  CHECK(rows[0].first_position == 12);
  CHECK(driver.scheduler.cached_tokens(2) == 12);
  CHECK(driver.scheduler.counts().cache_queries_tokens == 14 + 20);
  CHECK(driver.scheduler.counts().cache_hits_tokens == 12);
}

TEST_CASE("the last token is computed even if all pages are cached") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(8), 10);
  while (!driver.scheduler.empty()) driver.step();
  driver.add({.id = 2}, make_tokens(8), 10);
  const auto rows = driver.step();
  CHECK(rows[0].first_position == 4);
  CHECK(rows[0].row_count == 4);
  CHECK(rows[0].samples);
}

TEST_CASE("the next turn of a chat computes less than a page of what was said before") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(9), 30);
  std::vector<int32_t> said;
  while (!driver.scheduler.empty()) {
    said = driver.jobs.at(1)->tokens;  // the last token of all was never an input
    driver.step();
  }
  const size_t before = said.size();
  said.insert(said.end(), {1, 2, 3});
  driver.add({.id = 2}, said, 40);
  const auto rows = driver.step();
  CHECK(std::cmp_less(before, rows[0].first_position + kSmall.page_tokens));
}

TEST_CASE("other salts and sequences that must be computed in full find nothing") {
  Driver driver(kSmall);
  driver.add({.id = 1, .cache_salt = 5}, make_tokens(12), 14);
  while (!driver.scheduler.empty()) driver.step();
  driver.add({.id = 2, .cache_salt = 6}, make_tokens(12), 14);
  CHECK(driver.step()[0].first_position == 0);
  driver.remove(2);
  driver.add({.id = 3, .reads_cache = false, .cache_salt = 5}, make_tokens(12), 14);
  CHECK(driver.step()[0].first_position == 0);
  CHECK(driver.scheduler.cached_tokens(3) == 0);
}

TEST_CASE("a group computes its prompt once") {
  Driver driver(kSmall);
  constexpr int32_t kPrompt = 14;
  for (SequenceId id = 1; id <= 4; ++id)
    driver.add({.id = id, .group = 9, .shared_tokens = kPrompt}, make_tokens(kPrompt), 17);
  int32_t prompt_rows = 0;
  int32_t most_used = 0;
  while (!driver.scheduler.empty()) {
    for (const ScheduledRows& rows : driver.step())
      prompt_rows += std::clamp(kPrompt - rows.first_position, 0, rows.row_count);
    most_used = std::max(most_used, driver.scheduler.pool().used());
  }
  CHECK(prompt_rows == kPrompt + 3);  // each needs the logits of its last token
  CHECK(most_used <= 3 + 4 * 2);      // three shared pages
  CHECK(driver.ended.size() == 4);
}

TEST_CASE("prompts of a group that fill no page, or pages exactly, are computed once too") {
  for (const int32_t prompt : {1, 2, 3, 4, 5, 8, 9}) {
    CAPTURE(prompt);
    Driver driver(kSmall);
    for (SequenceId id = 1; id <= 3; ++id)
      driver.add({.id = id, .group = 9, .shared_tokens = prompt}, make_tokens(prompt),
                 static_cast<size_t>(prompt) + 3);
    int32_t prompt_rows = 0;
    while (!driver.scheduler.empty()) {
      for (const ScheduledRows& rows : driver.step())
        prompt_rows += std::clamp(prompt - rows.first_position, 0, rows.row_count);
    }
    CHECK(prompt_rows == prompt + 2);
    CHECK(driver.ended.size() == 3);
  }
}

TEST_CASE("a group goes on when the one that computes its prompt is cancelled or preempted") {
  Driver driver(kSmall);
  for (SequenceId id = 1; id <= 3; ++id)
    driver.add({.id = id, .group = 9, .shared_tokens = 20}, make_tokens(20), 24);
  driver.step();
  driver.remove(1);
  while (!driver.scheduler.empty() && driver.steps < 50) driver.step();
  CHECK(driver.ended == std::vector<SequenceId>{2, 3});
}

TEST_CASE("two that compute the same page at once end up sharing it") {
  Driver driver(kSmall);
  driver.add({.id = 1}, make_tokens(8), 12);
  driver.add({.id = 2}, make_tokens(8), 12);
  driver.step();
  CHECK(driver.scheduler.pool().used() == 2);
  CHECK(std::ranges::equal(driver.scheduler.pages(1), driver.scheduler.pages(2)));
}

TEST_CASE("pages that nobody needs give way, pages in use do not") {
  SchedulerOptions options = kSmall;
  options.num_pages = 6;
  Driver driver(options);
  driver.add({.id = 1}, make_tokens(12, 1), 14);
  while (!driver.scheduler.empty()) driver.step();
  CHECK(driver.scheduler.pool().cached() == 3);
  driver.add({.id = 2}, make_tokens(22, 2), 24);
  while (!driver.scheduler.empty()) driver.step();
  CHECK(driver.ended == std::vector<SequenceId>{1, 2});
  CHECK(driver.scheduler.counts().preemptions == 0);
}

TEST_CASE("a preempted sequence takes its own pages from the cache if they are still there") {
  SchedulerOptions options = kSmall;
  options.num_pages = 9;
  Driver driver(options);
  driver.add({.id = 1}, make_tokens(7, 1), 20);
  driver.add({.id = 2}, make_tokens(15, 2), 24);
  int32_t restarted_at = -1;
  while (!driver.scheduler.empty()) {
    const bool was_known = driver.jobs.contains(2) && driver.jobs.at(2)->decoded > 0;
    for (const ScheduledRows& rows : driver.step())
      if (rows.sequence == 2 && was_known && rows.row_count > 1) restarted_at = rows.first_position;
  }
  CHECK(driver.scheduler.counts().preemptions == 1);
  CHECK(restarted_at >= 12);
  CHECK(driver.scheduler.counts().cache_hits_tokens == 0);  // counts what clients save
}

TEST_CASE("lower priority numbers begin first, equals in order of arrival") {
  SchedulerOptions options = kSmall;
  options.max_running = 1;
  Driver driver(options);
  driver.add({.id = 1, .priority = 5}, make_tokens(4, 1), 6);
  driver.add({.id = 2, .priority = 0}, make_tokens(4, 2), 6);
  driver.add({.id = 3, .priority = 0}, make_tokens(4, 3), 6);
  driver.add({.id = 4, .priority = -1}, make_tokens(4, 4), 6);
  while (!driver.scheduler.empty()) driver.step();
  CHECK(driver.ended == std::vector<SequenceId>{4, 2, 3, 1});
}

TEST_CASE("whoever waits long enough is an equal of the best: nobody starves") {
  SchedulerOptions options = kSmall;
  options.max_running = 1;
  Driver driver(options);
  driver.add({.id = 1, .priority = 1'000'000}, make_tokens(4, 1), 6);
  for (SequenceId id = 2; driver.jobs.contains(1); ++id) {
    driver.add({.id = id, .priority = 0}, make_tokens(4, static_cast<int32_t>(id)), 6);
    driver.step();
    REQUIRE(driver.steps < 2 * kPatienceSteps);
  }
  CHECK(driver.steps >= kPatienceSteps);
}

TEST_CASE("a short prompt does not wait for the end of a long one") {
  SchedulerOptions options = kSmall;
  options.num_pages = 200;
  Driver driver(options);
  driver.add({.id = 1}, make_tokens(2, 1), 300);  // a stream
  driver.step();
  driver.add({.id = 2}, make_tokens(400, 2), 402);
  driver.step(4);
  driver.add({.id = 3}, make_tokens(7, 3), 9);
  while (driver.ended.empty()) driver.step(4);
  CHECK(driver.ended == std::vector<SequenceId>{3});
  CHECK(driver.steps < 10);
}

}  // namespace hearth
