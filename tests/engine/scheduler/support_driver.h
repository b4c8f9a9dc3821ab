#pragma once
// Drives a Scheduler as the engine does, without a model: a sequence's next token is a function of
// its tokens so far, so that equal histories go on equally.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/scheduler/scheduler.h"

namespace hearth::testing {

/// A sequence of the test, with the tokens that the scheduler borrows.
struct Job {
  SequenceSpec spec;
  std::vector<int32_t> tokens;
  size_t prompt_size = 0;
  size_t longest = 0;       // removed when it has so many tokens
  uint64_t decoded = 0;     // tokens it was given
  uint64_t arrived_at = 0;  // step
};

/// `count` tokens that differ with `seed`.
inline std::vector<int32_t> make_tokens(int32_t count, int32_t seed = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = seed * 1000 + i;
  return tokens;
}

class Driver {
 public:
  explicit Driver(const SchedulerOptions& options)
      : scheduler(options),
        page_tokens_(options.page_tokens),
        pages_(static_cast<size_t>(options.num_pages),
               std::vector<int32_t>(static_cast<size_t>(options.page_tokens), -1)) {}

  /// Adds a sequence of `tokens` that ends when it has `longest` tokens.
  Job& add(SequenceSpec spec, std::vector<int32_t> tokens, size_t longest) {
    auto job = std::make_unique<Job>();
    job->tokens = std::move(tokens);
    job->prompt_size = job->tokens.size();
    job->longest = longest;
    job->arrived_at = steps;
    job->spec = spec;
    job->spec.tokens = &job->tokens;
    scheduler.add(job->spec);
    return *(jobs[spec.id] = std::move(job));
  }

  void remove(SequenceId id) {
    scheduler.remove(id);
    jobs.erase(id);
  }

  /// One step; sequences that have their tokens are removed and counted in `ended`.
  std::vector<ScheduledRows> step(int32_t prefill_rows = 1 << 20, bool check = true) {
    ++steps;
    const auto span = scheduler.schedule(prefill_rows);
    if (check) scheduler.check_invariants();
    const std::vector<ScheduledRows> rows(span.begin(), span.end());
    compute(rows, check);
    scheduler.complete();
    for (const ScheduledRows& scheduled : rows) {
      Job& job = *jobs.at(scheduled.sequence);
      if (!scheduled.samples) continue;
      job.tokens.push_back((job.tokens.back() * 31 + 7) % 10007);
      ++job.decoded;
      if (job.tokens.size() >= job.longest) {
        ended.push_back(scheduled.sequence);
        remove(scheduled.sequence);
      } else {
        scheduler.append_token(scheduled.sequence);
      }
    }
    if (check) scheduler.check_invariants();
    return rows;
  }

  Scheduler scheduler;
  std::map<SequenceId, std::unique_ptr<Job>> jobs;
  std::vector<SequenceId> ended;
  uint64_t steps = 0;

 private:
  /// Puts the rows' tokens in their pages, as K and V would be, after the copies. With `check`, the
  /// tokens before them must be there: that is what attention reads.
  void compute(const std::vector<ScheduledRows>& rows, bool check) {
    for (const PageCopy& copy : scheduler.page_copies())
      pages_[static_cast<size_t>(copy.to)] = pages_[static_cast<size_t>(copy.from)];
    for (const ScheduledRows& scheduled : rows) {
      const std::vector<int32_t>& tokens = jobs.at(scheduled.sequence)->tokens;
      const auto pages = scheduler.pages(scheduled.sequence);
      const auto at = [&](int32_t position) -> int32_t& {
        const int32_t page = pages[static_cast<size_t>(position / page_tokens_)];
        return pages_[static_cast<size_t>(page)][static_cast<size_t>(position % page_tokens_)];
      };
      for (int32_t i = 0; check && i < scheduled.first_position; ++i)
        REQUIRE(at(i) == tokens[static_cast<size_t>(i)]);
      for (int32_t i = 0; i < scheduled.row_count; ++i) {
        const int32_t position = scheduled.first_position + i;
        at(position) = tokens[static_cast<size_t>(position)];
      }
    }
  }

  const int32_t page_tokens_;
  std::vector<std::vector<int32_t>> pages_;  // [num_pages][page_tokens]: what a page holds
};

}  // namespace hearth::testing
