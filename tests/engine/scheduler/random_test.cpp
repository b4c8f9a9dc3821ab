// Random life on a small pool: arrivals in groups and alone, with common beginnings, cancels, kills
// of everything, priorities, keys. The books are checked in every step (Driver::step).

#include <doctest/doctest.h>

#include <iterator>
#include <random>

#include "tests/engine/scheduler/support_driver.h"

namespace hearth {
namespace {

using testing::Driver;
using testing::Job;
using testing::make_tokens;

constexpr SchedulerOptions kTight{
    .step_tokens = 24, .prefill_chunk = 12, .max_running = 6, .page_tokens = 4, .num_pages = 24};
constexpr int32_t kLongest = kTight.num_pages * kTight.page_tokens;  // one may take the whole pool

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed) {}

  void run(int arriving_steps) {
    for (int i = 0; i < arriving_steps; ++i) {
      if (driver_->jobs.size() < 16 && pick(0, 3) == 0) arrive();
      if (!driver_->jobs.empty() && pick(0, 40) == 0) driver_->remove(any()->first);
      if (pick(0, 1500) == 0) kill();
      step();
    }
    while (!driver_->scheduler.empty()) step();
    CHECK(driver_->scheduler.pool().used() == 0);
    count();
  }

  [[nodiscard]] size_t ended() const { return driver_->ended.size(); }

  uint64_t preemptions = 0;
  uint64_t hits = 0;
  uint64_t replayed = 0;

 private:
  int32_t pick(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  std::map<SequenceId, std::unique_ptr<Job>>::iterator any() {
    return std::next(driver_->jobs.begin(),
                     pick(0, static_cast<int32_t>(driver_->jobs.size()) - 1));
  }

  void arrive() {
    const int32_t prompt = pick(1, 60);
    const int32_t choices = pick(0, 5) == 0 ? pick(2, 4) : 1;
    const auto tokens = make_tokens(prompt, pick(0, 3));  // few beginnings: many are alike
    SequenceSpec spec{.max_chunk = pick(0, 4) == 0 ? 3 : 1000,
                      .reads_cache = pick(0, 9) != 0,
                      .cache_salt = static_cast<uint64_t>(pick(0, 1)),
                      .fairness_key = "key" + std::to_string(pick(0, 4)),
                      .priority = pick(0, 9) == 0 ? pick(-1, 2) : 0,
                      .group = ++groups_,
                      .shared_tokens = choices > 1 ? prompt : 0};
    for (int32_t i = 0; i < choices; ++i) {
      spec.id = ++next_;
      driver_->add(spec, tokens, static_cast<size_t>(pick(prompt + 1, kLongest)));
    }
  }

  /// The worker dies; another one gets all sequences with the tokens they had.
  void kill() {
    auto fresh = std::make_unique<Driver>(kTight);
    for (auto& [id, job] : driver_->jobs) {
      fresh->add(job->spec, job->tokens, job->longest);
      ++replayed;
    }
    fresh->ended = std::move(driver_->ended);
    fresh->steps = driver_->steps;
    count();
    driver_ = std::move(fresh);
  }

  void count() {
    preemptions += driver_->scheduler.counts().preemptions;
    hits += driver_->scheduler.counts().cache_hits_tokens;
  }

  void step() {
    if (driver_->scheduler.empty()) return;
    const auto rows = driver_->step(pick(1, 16));
    REQUIRE_FALSE(rows.empty());
  }

  std::mt19937_64 random_;
  SequenceId next_ = 0;
  uint64_t groups_ = 0;
  std::unique_ptr<Driver> driver_ = std::make_unique<Driver>(kTight);
};

}  // namespace

TEST_CASE("100,000 random steps: the books balance in each, and everyone ends") {
  Life life(7);
  life.run(100'000);
  MESSAGE(life.ended(), " ended, ", life.preemptions, " preemptions, ", life.hits,
          " tokens from the cache, ", life.replayed, " replayed");
  CHECK(life.ended() > 1000);
  CHECK(life.preemptions > 100);
  CHECK(life.hits > 1000);
  CHECK(life.replayed > 100);
}

}  // namespace hearth
