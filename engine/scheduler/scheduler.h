#pragma once
// Which rows of which sequences make the next step. Pure bookkeeping: no tensors, no text, no time.
// One thread owns it.
//
// Continuous batching (Yu et al. 2022, Orca) with chunked prefill (Agrawal et al. 2023, Sarathi):
// a step takes the decode row of every running sequence first, then prompt chunks and newcomers up
// to its budget. A newcomer gets the pages of all its known tokens at once, those it finds in the
// prefix cache included. When a decode row finds no page, the running sequence that ranks last
// gives its pages back and is recomputed later; the first can always go on, so there is no
// deadlock.
//
// Who is served next, among prompts and newcomers (precedes()):
//   1. the lower priority number; who has waited kPatienceSteps counts as equal to the best,
//   2. the fairness key that was served fewer tokens (FairShare),
//   3. who was thrown out half-way, then who has waited kPatienceSteps, then who had fewer prompt
//      rows computed, so that a short prompt need not wait for the end of a long one,
//   4. who came first.
// A key that keeps others out of a full batch must let one of its sequences pause (make_room()).

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/kv_cache/page_pool.h"
#include "engine/scheduler/fair_share.h"

namespace hearth {

using SequenceId = uint64_t;

struct SchedulerOptions {
  int32_t step_tokens = 512;    // most rows of a step
  int32_t prefill_chunk = 256;  // most prompt rows of one sequence in a step
  int32_t max_running = 16;     // most sequences with rows in a step
  int32_t page_tokens = 32;
  int32_t num_pages = 0;
};

/// Steps after which a waiting sequence's priority, or its prompt's length, no longer matters:
/// under a minute on a slow machine, long enough that priorities mean something.
inline constexpr uint64_t kPatienceSteps = 1024;
/// The lead in tokens that a key needs before one of its sequences pauses for another key's: a few
/// pages, since a pause costs recomputing at most one where the cache keeps the others.
inline constexpr int32_t kFairLeadTokens = 128;
/// Decode rows that a sequence has between two such pauses, so that every turn brings it on. Short:
/// a key whose client asks again as soon as it is answered finds its place taken each time.
inline constexpr int32_t kFairTurnTokens = 16;

struct SequenceSpec {
  SequenceId id = 0;
  /// Known tokens, at least one: prompt and sampled. Borrowed until remove(); grows by one with
  /// each append_token().
  const std::vector<int32_t>* tokens = nullptr;
  int32_t max_chunk = std::numeric_limits<int32_t>::max();  // most rows in one step, > 0
  bool reads_cache = true;                                  // false: every row must be computed
  uint64_t cache_salt = 0;
  std::string fairness_key{};
  int32_t priority = 0;  // lower is served earlier
  /// Sequences of one group begin with the same `shared_tokens` tokens: one of them computes
  /// these, the others wait for it, share its full pages and copy the one that these tokens do not
  /// fill.
  uint64_t group = 0;
  int32_t shared_tokens = 0;  // 0: no group
};

/// Rows first_position … first_position + row_count - 1 of one sequence.
struct ScheduledRows {
  SequenceId sequence = 0;
  int32_t first_position = 0;
  int32_t row_count = 0;
  bool samples = false;  // the last row is the sequence's newest token: its logits give the next
};

/// Page `to` begins as a copy of page `from`.
struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
};

/// What the scheduler has counted since it began.
struct SchedulerCounts {
  uint64_t preemptions = 0;           // sequences that had to give their pages back
  uint64_t cache_queries_tokens = 0;  // of sequences looked up when they first began
  uint64_t cache_hits_tokens = 0;     // of these, found
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  /// Queues a sequence. At its longest it must fit the pool by itself: the caller has checked.
  void add(SequenceSpec spec);
  /// Forgets a sequence, wherever it is; its pages are free or cached at once.
  void remove(SequenceId id);
  /// One more token of a running sequence is known: its sampled continuation.
  void append_token(SequenceId id);

  /// The next step's rows, with pages assigned to all of them. `prefill_rows` (> 0) bounds the
  /// prompt rows of a step that has decode rows too; others have step_tokens. Empty only if there
  /// is no sequence. Valid until the next call of a member that is not const.
  std::span<const ScheduledRows> schedule(
      int32_t prefill_rows = std::numeric_limits<int32_t>::max());
  /// Copies to make before the rows of the last schedule() are computed. Valid as long as these.
  [[nodiscard]] std::span<const PageCopy> page_copies() const { return copies_; }
  /// The rows of the last schedule() were computed.
  void complete();

  /// Page numbers of a running sequence, by position / page_tokens.
  [[nodiscard]] std::span<const int32_t> pages(SequenceId id) const;
  /// Tokens that a sequence took from the cache when it first began.
  [[nodiscard]] int32_t cached_tokens(SequenceId id) const;

  [[nodiscard]] bool empty() const { return sequences_.empty(); }
  /// Running sequences whose next row is a single one: at most so many decode rows come next.
  [[nodiscard]] int32_t decodes() const;
  /// Sequences that have prompt left to read, those that wait as far as they would be admitted.
  [[nodiscard]] int32_t prompts() const;
  [[nodiscard]] int32_t running() const { return static_cast<int32_t>(running_.size()); }
  [[nodiscard]] int32_t waiting() const { return static_cast<int32_t>(waiting_.size()); }
  [[nodiscard]] const PagePool& pool() const { return pool_; }
  [[nodiscard]] const SchedulerCounts& counts() const { return counts_; }

  /// Aborts if the books do not balance: holders of pages are the running sequences that need
  /// them, shared pages hold the same tokens, waiting sequences hold none, limits are kept. For
  /// tests.
  void check_invariants() const;

 private:
  struct Sequence {
    SequenceSpec spec;
    FairShare::Flow* flow = nullptr;
    uint64_t arrival = 0;        // order of add()
    uint64_t arrival_step = 0;   // step of add()
    int32_t num_tokens = 0;      // known tokens
    int32_t num_computed = 0;    // of these, how many have K and V in pages
    int32_t num_remembered = 0;  // leading pages that are in the cache's index
    int32_t num_served = 0;      // tokens charged to the flow or found cached: each once
    int32_t cached_tokens = 0;
    int32_t decoded = 0;     // decode rows since it last began
    bool began = false;      // has been running before
    bool scheduled = false;  // has rows in the current step
    std::vector<int32_t> pages;

    [[nodiscard]] int32_t missing() const { return num_tokens - num_computed; }
  };

  void make_room();
  void schedule_decodes();
  void schedule_prompts();
  [[nodiscard]] Sequence* next_prompt() const;
  [[nodiscard]] Sequence* next_waiting() const;
  [[nodiscard]] bool is_patient(const Sequence& sequence) const;
  [[nodiscard]] int32_t priority_of(const Sequence& sequence) const;
  [[nodiscard]] bool precedes(const Sequence& a, const Sequence& b) const;
  [[nodiscard]] bool waits_for_group(const Sequence& sequence) const;
  [[nodiscard]] static int32_t shared_tokens_of(const Sequence& sequence);
  bool admit(Sequence& sequence);
  void take_cached_pages(Sequence& sequence);
  void copy_shared_tail(Sequence& sequence);
  void schedule_chunk(Sequence& sequence);
  [[nodiscard]] int32_t pages_for(int32_t tokens) const;
  [[nodiscard]] PageContent content(const Sequence& sequence, int32_t index) const;
  bool take_pages(Sequence& sequence, int32_t tokens);
  bool preempt_one_behind(const Sequence& sequence);
  void preempt(Sequence& sequence);
  void remember_full_pages(Sequence& sequence);
  void push(Sequence& sequence, int32_t row_count);
  void check_pages() const;

  SchedulerOptions options_;
  PagePool pool_;
  FairShare shares_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;  // by priority, equals in order of admission: their rank
  std::vector<Sequence*> waiting_;  // in no order
  std::vector<ScheduledRows> rows_;
  std::vector<PageCopy> copies_;
  int32_t budget_ = 0;         // rows left in this step
  int32_t prompt_budget_ = 0;  // of these, for prompts
  int32_t best_priority_ = 0;  // of all sequences in this step
  uint64_t step_ = 0;
  uint64_t arrivals_ = 0;
  SchedulerCounts counts_;
};

}  // namespace hearth
