#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "engine/scheduler/scheduler.h"

namespace hearth {

void Scheduler::check_invariants() const {
  HEARTH_CHECK(running() <= options_.max_running, "too many running sequences");
  HEARTH_CHECK(running_.size() + waiting_.size() == sequences_.size(), "a sequence is lost");
  HEARTH_CHECK(std::ranges::is_sorted(running_, {}, [](auto* s) { return s->spec.priority; }),
               "running sequences are in order of rank");
  pool_.check_invariants();
  for (const Sequence* sequence : waiting_)
    HEARTH_CHECK(sequence->pages.empty(), "a waiting sequence holds no pages");
  check_pages();
  int32_t rows = 0;
  for (const ScheduledRows& scheduled : rows_) {
    const Sequence& sequence = *sequences_.at(scheduled.sequence);
    HEARTH_CHECK(scheduled.row_count > 0 && scheduled.first_position == sequence.num_computed,
                 "rows go on where the last ones ended");
    HEARTH_CHECK(sequence.missing() >= scheduled.row_count, "rows are known tokens");
    rows += scheduled.row_count;
  }
  HEARTH_CHECK(rows <= options_.step_tokens, "a step keeps its budget");
}

/// Every used page is held as often as running sequences list it, at one place of equal prefixes.
void Scheduler::check_pages() const {
  struct Use {
    const Sequence* sequence;
    int32_t index;
    int32_t holders;
  };
  std::map<int32_t, Use> uses;
  for (const Sequence* sequence : running_) {
    HEARTH_CHECK(sequence->missing() >= 0, "computed tokens are known");
    HEARTH_CHECK(std::cmp_less_equal(pages_for(sequence->num_tokens - 1), sequence->pages.size()),
                 "all tokens but the newest have pages");
    HEARTH_CHECK(sequence->num_remembered * options_.page_tokens <= sequence->num_computed,
                 "only computed pages are remembered");
    for (size_t i = 0; i < sequence->pages.size(); ++i) {
      const auto index = static_cast<int32_t>(i);
      Use& use = uses.try_emplace(sequence->pages[i], Use{sequence, index, 0}).first->second;
      if (++use.holders == 1) continue;
      HEARTH_CHECK(use.index == index, "a shared page has one place");
      HEARTH_CHECK(index < sequence->num_remembered && index < use.sequence->num_remembered,
                   "a shared page is full and remembered");
      const auto end = static_cast<ptrdiff_t>((index + 1) * options_.page_tokens);
      HEARTH_CHECK(std::equal(sequence->spec.tokens->begin(), sequence->spec.tokens->begin() + end,
                              use.sequence->spec.tokens->begin()) &&
                       sequence->spec.cache_salt == use.sequence->spec.cache_salt,
                   "who shares a page has the same tokens up to its end, and the same salt");
    }
  }
  HEARTH_CHECK(std::cmp_equal(uses.size(), pool_.used()), "a used page has a sequence");
  for (const auto& [page, use] : uses)
    HEARTH_CHECK(use.holders == pool_.holders(page), "every holder is a sequence");
}

}  // namespace hearth
