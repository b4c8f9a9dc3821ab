#include "engine/scheduler/scheduler.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_math.h"

namespace hearth {

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), allocator_(options.num_pages) {
  HEARTH_CHECK(options.step_tokens >= options.max_running,
               "a step must have room for a row of every running sequence");
  rows_.reserve(static_cast<size_t>(options.max_running));
}

void Scheduler::add(SequenceId id, int32_t num_tokens, int32_t max_chunk) {
  HEARTH_CHECK(num_tokens > 0, "a sequence has at least one token");
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->num_tokens = num_tokens;
  sequence->max_chunk = max_chunk;
  waiting_.push_back(sequence.get());
  const bool inserted = sequences_.emplace(id, std::move(sequence)).second;
  HEARTH_CHECK(inserted, "sequence ids are unique");
}

void Scheduler::remove(SequenceId id) {
  const auto it = sequences_.find(id);
  if (it == sequences_.end()) return;
  release_pages(*it->second);
  std::erase(running_, it->second.get());
  std::erase(waiting_, it->second.get());
  std::erase_if(rows_, [id](const ScheduledRows& rows) { return rows.sequence == id; });
  sequences_.erase(it);
}

void Scheduler::append_token(SequenceId id) { ++sequences_.at(id)->num_tokens; }

std::span<const ScheduledRows> Scheduler::schedule() {
  rows_.clear();
  budget_ = options_.step_tokens;
  for (Sequence* sequence : running_) sequence->scheduled = false;
  schedule_decodes();
  schedule_prefills();
  admit();
  return rows_;
}

void Scheduler::complete() {
  for (const ScheduledRows& rows : rows_)
    sequences_.at(rows.sequence)->num_computed += rows.row_count;
  rows_.clear();
}

std::span<const int32_t> Scheduler::pages(SequenceId id) const { return sequences_.at(id)->pages; }

// Oldest first, so that a victim (younger) has no rows in this step yet.
void Scheduler::schedule_decodes() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.num_tokens - sequence.num_computed != 1) continue;
    bool has_page = take_pages(sequence, sequence.num_tokens);
    while (!has_page && preempt_one_younger_than(sequence))
      has_page = take_pages(sequence, sequence.num_tokens);
    if (has_page) {
      push(sequence, 1);
    } else {
      preempt(sequence);  // the youngest itself: it ends the list
      break;
    }
  }
}

void Scheduler::schedule_prefills() {
  for (size_t i = 0; i < running_.size() && budget_ > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.num_tokens - sequence.num_computed > 1) schedule_chunk(sequence);
  }
}

// A sequence enters when the pages of all its known tokens are free, so that it is not thrown out
// again half-way through its prompt.
void Scheduler::admit() {
  while (!waiting_.empty() && budget_ > 0 && running() < options_.max_running) {
    Sequence& sequence = *waiting_.front();
    if (pages_for(sequence.num_tokens) > allocator_.free()) break;
    waiting_.pop_front();
    running_.push_back(&sequence);
    schedule_chunk(sequence);
  }
}

void Scheduler::schedule_chunk(Sequence& sequence) {
  int32_t rows = std::min({sequence.num_tokens - sequence.num_computed, options_.prefill_chunk,
                           sequence.max_chunk, budget_});
  while (!take_pages(sequence, sequence.num_computed + rows)) {
    if (preempt_one_younger_than(sequence)) continue;
    // Others decode with the pages that are missing: take what there is.
    const int32_t capacity =
        (static_cast<int32_t>(sequence.pages.size()) + allocator_.free()) * options_.page_tokens;
    rows = std::min(rows, capacity - sequence.num_computed);
    if (rows <= 0) return;
  }
  push(sequence, rows);
}

int32_t Scheduler::pages_for(int32_t tokens) const {
  return ceil_div(tokens, options_.page_tokens);
}

/// Gives `sequence` the pages for its first `tokens` tokens, or none of them.
bool Scheduler::take_pages(Sequence& sequence, int32_t tokens) {
  const int32_t missing = pages_for(tokens) - static_cast<int32_t>(sequence.pages.size());
  if (missing > allocator_.free()) return false;
  for (int32_t i = 0; i < missing; ++i) sequence.pages.push_back(*allocator_.take());
  return true;
}

/// Preempts the youngest running sequence that is younger than `sequence` and has no rows in this
/// step. False if there is none.
bool Scheduler::preempt_one_younger_than(const Sequence& sequence) {
  for (size_t i = running_.size(); i-- > 0;) {
    Sequence& victim = *running_[i];
    if (&victim == &sequence) return false;
    if (victim.scheduled) continue;
    preempt(victim);
    return true;
  }
  return false;
}

void Scheduler::preempt(Sequence& sequence) {
  release_pages(sequence);
  sequence.num_computed = 0;
  std::erase(running_, &sequence);
  waiting_.push_front(&sequence);
  ++preemptions_;
}

void Scheduler::release_pages(Sequence& sequence) {
  for (const int32_t page : sequence.pages) allocator_.release(page);
  sequence.pages.clear();
}

void Scheduler::push(Sequence& sequence, int32_t row_count) {
  sequence.scheduled = true;
  budget_ -= row_count;
  rows_.push_back({.sequence = sequence.id,
                   .first_position = sequence.num_computed,
                   .row_count = row_count,
                   .samples = sequence.num_computed + row_count == sequence.num_tokens});
}

void Scheduler::check_invariants() const {
  HEARTH_CHECK(running() <= options_.max_running, "too many running sequences");
  HEARTH_CHECK(running_.size() + waiting_.size() == sequences_.size(), "a sequence is lost");
  std::vector<bool> held(static_cast<size_t>(allocator_.total()), false);
  int32_t used = 0;
  for (const Sequence* sequence : running_) {
    HEARTH_CHECK(sequence->num_computed <= sequence->num_tokens, "computed tokens are known");
    HEARTH_CHECK(static_cast<int32_t>(sequence->pages.size()) >= pages_for(sequence->num_computed),
                 "computed tokens have pages");
    for (const int32_t page : sequence->pages) {
      HEARTH_CHECK(!held.at(static_cast<size_t>(page)), "a page has two holders");
      held[static_cast<size_t>(page)] = true;
      ++used;
    }
  }
  for (const Sequence* sequence : waiting_)
    HEARTH_CHECK(sequence->pages.empty(), "a waiting sequence holds no pages");
  HEARTH_CHECK(used == allocator_.used(), "free and used pages add up to all pages");
  int32_t rows = 0;
  for (const ScheduledRows& scheduled : rows_) {
    rows += scheduled.row_count;
    HEARTH_CHECK(static_cast<int32_t>(sequences_.at(scheduled.sequence)->pages.size()) >=
                     pages_for(scheduled.first_position + scheduled.row_count),
                 "scheduled rows have pages");
  }
  HEARTH_CHECK(rows <= options_.step_tokens, "a step keeps its budget");
}

}  // namespace hearth
