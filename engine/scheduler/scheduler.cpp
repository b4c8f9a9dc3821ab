#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/checked_math.h"

namespace hearth {

Scheduler::Scheduler(const SchedulerOptions& options)
    : options_(options), pool_(options.num_pages) {
  HEARTH_CHECK(options.step_tokens >= options.max_running,
               "a step must have room for a row of every running sequence");
  rows_.reserve(static_cast<size_t>(options.max_running));
}

void Scheduler::add(SequenceSpec spec) {
  HEARTH_CHECK(spec.tokens != nullptr && !spec.tokens->empty(), "a sequence has a token");
  HEARTH_CHECK(spec.max_chunk > 0, "a chunk has a row");
  auto sequence = std::make_unique<Sequence>();
  sequence->flow = shares_.join(spec.fairness_key);
  sequence->arrival = ++arrivals_;
  sequence->arrival_step = step_;
  sequence->num_tokens = static_cast<int32_t>(spec.tokens->size());
  sequence->spec = std::move(spec);
  waiting_.push_back(sequence.get());
  const SequenceId id = sequence->spec.id;
  const bool inserted = sequences_.emplace(id, std::move(sequence)).second;
  HEARTH_CHECK(inserted, "sequence ids are unique");
}

void Scheduler::remove(SequenceId id) {
  const auto it = sequences_.find(id);
  if (it == sequences_.end()) return;
  pool_.release_all(it->second->pages);
  shares_.leave(it->second->flow);
  std::erase(running_, it->second.get());
  std::erase(waiting_, it->second.get());
  std::erase_if(rows_, [id](const ScheduledRows& rows) { return rows.sequence == id; });
  sequences_.erase(it);
}

void Scheduler::append_token(SequenceId id) {
  Sequence& sequence = *sequences_.at(id);
  ++sequence.num_tokens;
  HEARTH_CHECK(std::cmp_equal(sequence.num_tokens, sequence.spec.tokens->size()),
               "the appended token is in the list");
}

std::span<const ScheduledRows> Scheduler::schedule(int32_t prefill_rows) {
  HEARTH_CHECK(prefill_rows > 0, "prompts must get on");
  ++step_;
  rows_.clear();
  copies_.clear();
  budget_ = options_.step_tokens;
  best_priority_ = std::numeric_limits<int32_t>::max();
  for (const auto& [id, sequence] : sequences_) {
    sequence->scheduled = false;
    best_priority_ = std::min(best_priority_, sequence->spec.priority);
  }
  make_room();
  schedule_decodes();
  prompt_budget_ = rows_.empty() ? budget_ : std::min(budget_, prefill_rows);
  schedule_prompts();
  return rows_;
}

void Scheduler::complete() {
  for (const ScheduledRows& rows : rows_) {
    Sequence& sequence = *sequences_.at(rows.sequence);
    sequence.num_computed += rows.row_count;
    remember_full_pages(sequence);
  }
  rows_.clear();
}

std::span<const int32_t> Scheduler::pages(SequenceId id) const { return sequences_.at(id)->pages; }

int32_t Scheduler::decodes() const {
  return static_cast<int32_t>(
      std::ranges::count_if(running_, [](const Sequence* s) { return s->missing() == 1; }));
}

int32_t Scheduler::prompts() const {
  return running() - decodes() + std::min(waiting(), options_.max_running - running());
}

int32_t Scheduler::cached_tokens(SequenceId id) const { return sequences_.at(id)->cached_tokens; }

// A full batch of one key's long answers must not keep others out until they end. The sequence that
// pauses has decoded a quantum since it last began, so every turn brings tokens and none is wasted.
void Scheduler::make_room() {
  const Sequence* next = next_waiting();
  if (next == nullptr) return;
  const bool has_slot = running() < options_.max_running;
  if (has_slot && pages_for(next->num_tokens) <= pool_.available()) return;
  Sequence* victim = nullptr;
  for (Sequence* sequence : running_) {
    if (sequence->decoded < kFairTurnTokens || priority_of(*sequence) < priority_of(*next) ||
        sequence->flow->served_tokens <= next->flow->served_tokens + kFairLeadTokens)
      continue;
    if (victim == nullptr || sequence->flow->served_tokens >= victim->flow->served_tokens)
      victim = sequence;
  }
  if (victim != nullptr) preempt(*victim);
}

// In order of rank, so that a victim (behind) has no rows in this step yet.
void Scheduler::schedule_decodes() {
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.missing() != 1) continue;
    bool has_page = take_pages(sequence, sequence.num_tokens);
    while (!has_page && preempt_one_behind(sequence))
      has_page = take_pages(sequence, sequence.num_tokens);
    if (has_page) {
      ++sequence.decoded;
      push(sequence, 1);
    } else {
      preempt(sequence);  // the last one itself
      break;
    }
  }
}

// Prompts that run have their pages. A newcomer that finds no pages keeps those behind it out, or
// long ones would never get in.
void Scheduler::schedule_prompts() {
  bool admits = true;
  while (prompt_budget_ > 0) {
    Sequence* prompt = next_prompt();
    Sequence* newcomer = admits && running() < options_.max_running ? next_waiting() : nullptr;
    if (newcomer != nullptr && (prompt == nullptr || precedes(*newcomer, *prompt))) {
      admits = admit(*newcomer);
      if (admits) schedule_chunk(*newcomer);
    } else if (prompt != nullptr) {
      schedule_chunk(*prompt);
    } else {
      break;
    }
  }
}

Scheduler::Sequence* Scheduler::next_prompt() const {
  Sequence* best = nullptr;
  for (Sequence* sequence : running_) {
    if (sequence->scheduled || sequence->missing() == 0) continue;
    if (best == nullptr || precedes(*sequence, *best)) best = sequence;
  }
  return best;
}

Scheduler::Sequence* Scheduler::next_waiting() const {
  Sequence* best = nullptr;
  for (Sequence* sequence : waiting_) {
    if (best != nullptr && !precedes(*sequence, *best)) continue;
    if (!waits_for_group(*sequence)) best = sequence;
  }
  return best;
}

bool Scheduler::is_patient(const Sequence& sequence) const {
  return step_ - sequence.arrival_step >= kPatienceSteps;
}

int32_t Scheduler::priority_of(const Sequence& sequence) const {
  return is_patient(sequence) ? best_priority_ : sequence.spec.priority;
}

bool Scheduler::precedes(const Sequence& a, const Sequence& b) const {
  const auto rank = [this](const Sequence& s) {
    const bool waits = s.num_computed == 0;
    const int32_t turn = waits && s.began ? 0 : is_patient(s) ? 1 : 2;
    // A patient one is not passed by shorter ones any more.
    const int32_t computed = turn == 2 ? s.num_computed : 0;
    return std::tuple(priority_of(s), s.flow->served_tokens, turn, computed, s.arrival);
  };
  return rank(a) < rank(b);
}

/// Tokens that a sequence need not compute itself. Its last token it must: the logits are wanted.
int32_t Scheduler::shared_tokens_of(const Sequence& sequence) {
  return std::min(sequence.spec.shared_tokens, sequence.num_tokens - 1);
}

bool Scheduler::waits_for_group(const Sequence& sequence) const {
  const SequenceSpec& spec = sequence.spec;
  const int32_t shared = shared_tokens_of(sequence);
  if (shared == 0) return false;
  return std::ranges::any_of(running_, [&](const Sequence* other) {
    return other->spec.shared_tokens > 0 && other->spec.group == spec.group &&
           other->num_computed < shared;
  });
}

// A sequence enters with the pages of all its known tokens, so that it is not thrown out again
// half-way through its prompt.
bool Scheduler::admit(Sequence& sequence) {
  take_cached_pages(sequence);
  if (!take_pages(sequence, sequence.num_tokens)) {
    pool_.release_all(sequence.pages);
    return false;
  }
  sequence.num_remembered = sequence.num_computed / options_.page_tokens;
  if (!sequence.began) {
    sequence.cached_tokens = sequence.num_computed;
    if (sequence.spec.reads_cache) {
      counts_.cache_queries_tokens += static_cast<uint64_t>(sequence.num_tokens);
      counts_.cache_hits_tokens += static_cast<uint64_t>(sequence.cached_tokens);
    }
  }
  copy_shared_tail(sequence);
  sequence.num_served = std::max(sequence.num_served, sequence.num_computed);
  sequence.began = true;
  sequence.decoded = 0;
  std::erase(waiting_, &sequence);
  const auto rank = [](const Sequence* s) { return s->spec.priority; };
  running_.insert(std::ranges::upper_bound(running_, rank(&sequence), {}, rank), &sequence);
  return true;
}

// The last token is computed in any case: its logits are wanted.
void Scheduler::take_cached_pages(Sequence& sequence) {
  sequence.num_computed = 0;
  if (!sequence.spec.reads_cache) return;
  const int32_t most = (sequence.num_tokens - 1) / options_.page_tokens;
  for (int32_t i = 0; i < most; ++i) {
    const auto page = pool_.find(content(sequence, i));
    if (!page) break;
    pool_.retain(*page);
    sequence.pages.push_back(*page);
  }
  sequence.num_computed = static_cast<int32_t>(sequence.pages.size()) * options_.page_tokens;
}

// Behind the full pages that it found, a sequence of a group takes a copy of the page that the
// shared tokens fill in part: copying is moving memory, computing them is reading all weights.
void Scheduler::copy_shared_tail(Sequence& sequence) {
  const int32_t shared = shared_tokens_of(sequence);
  const int32_t full = shared / options_.page_tokens * options_.page_tokens;
  if (!sequence.spec.reads_cache || sequence.num_computed != full || shared == full) return;
  const auto donor = std::ranges::find_if(running_, [&](const Sequence* other) {
    return other->spec.shared_tokens > 0 && other->spec.group == sequence.spec.group &&
           other->num_computed >= shared;
  });
  if (donor == running_.end()) return;
  const auto index = static_cast<size_t>(full / options_.page_tokens);
  copies_.push_back({(*donor)->pages[index], sequence.pages[index]});
  sequence.num_computed = shared;
}

void Scheduler::schedule_chunk(Sequence& sequence) {
  const int32_t rows = std::min(
      {sequence.missing(), options_.prefill_chunk, sequence.spec.max_chunk, prompt_budget_});
  prompt_budget_ -= rows;
  push(sequence, rows);
}

int32_t Scheduler::pages_for(int32_t tokens) const {
  return ceil_div(tokens, options_.page_tokens);
}

PageContent Scheduler::content(const Sequence& sequence, int32_t index) const {
  const auto size = static_cast<size_t>(options_.page_tokens);
  const auto page = static_cast<size_t>(index);
  return {.parent = index == 0 ? kNoPage : sequence.pages[page - 1],
          .salt = sequence.spec.cache_salt,
          .tokens = std::span(*sequence.spec.tokens).subspan(page * size, size)};
}

/// Gives `sequence` the pages for its first `tokens` tokens, or none of them.
bool Scheduler::take_pages(Sequence& sequence, int32_t tokens) {
  const int32_t missing = pages_for(tokens) - static_cast<int32_t>(sequence.pages.size());
  if (missing > pool_.available()) return false;
  for (int32_t i = 0; i < missing; ++i) sequence.pages.push_back(*pool_.take());
  return true;
}

/// Preempts the last running sequence that ranks behind `sequence` and has no rows in this step.
/// False if there is none.
bool Scheduler::preempt_one_behind(const Sequence& sequence) {
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
  pool_.release_all(sequence.pages);
  sequence.num_computed = 0;
  sequence.num_remembered = 0;
  std::erase(running_, &sequence);
  waiting_.push_back(&sequence);
  ++counts_.preemptions;
}

// Where another sequence has computed the same page meanwhile, this one uses that and gives its
// copy back: the bits are the same.
void Scheduler::remember_full_pages(Sequence& sequence) {
  while ((sequence.num_remembered + 1) * options_.page_tokens <= sequence.num_computed) {
    int32_t& page = sequence.pages[static_cast<size_t>(sequence.num_remembered)];
    const auto known = pool_.remember(page, content(sequence, sequence.num_remembered));
    if (!known) return;
    if (*known != page) {
      pool_.retain(*known);
      pool_.release(page);
      page = *known;
    }
    ++sequence.num_remembered;
  }
}

// Each token is charged once: not when it comes from the cache, nor when it is recomputed.
void Scheduler::push(Sequence& sequence, int32_t row_count) {
  const int32_t end = sequence.num_computed + row_count;
  const int32_t fresh = std::max(0, end - sequence.num_served);
  sequence.flow->served_tokens += static_cast<uint64_t>(fresh);
  sequence.num_served += fresh;
  sequence.scheduled = true;
  budget_ -= row_count;
  rows_.push_back({.sequence = sequence.spec.id,
                   .first_position = sequence.num_computed,
                   .row_count = row_count,
                   .samples = end == sequence.num_tokens});
}

}  // namespace hearth
