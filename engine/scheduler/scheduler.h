#pragma once
// Which rows of which sequences make the next step. Pure bookkeeping: no tensors, no text, no time.
// One thread owns it.
//
// Continuous batching (Yu et al. 2022, Orca) with chunked prefill (Agrawal et al. 2023, Sarathi):
// a step takes the decode row of every running sequence first, then prompt chunks up to its token
// budget, then admits waiting sequences. When pages run out, the youngest running sequence gives
// its pages back and is recomputed later; the oldest can always go on, so there is no deadlock.

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/kv_cache/page_allocator.h"

namespace hearth {

using SequenceId = uint64_t;

struct SchedulerOptions {
  int32_t step_tokens = 512;    // most rows of a step
  int32_t prefill_chunk = 256;  // most prompt rows of one sequence in a step
  int32_t max_running = 16;     // most sequences with rows in a step
  int32_t page_tokens = 32;
  int32_t num_pages = 0;
};

/// Rows first_position … first_position + row_count - 1 of one sequence.
struct ScheduledRows {
  SequenceId sequence = 0;
  int32_t first_position = 0;
  int32_t row_count = 0;
  bool samples = false;  // the last row is the sequence's newest token: its logits give the next
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerOptions& options);

  /// Queues a sequence of `num_tokens` known tokens (> 0). At its longest it must fit the pool by
  /// itself: the caller has checked. `max_chunk` > 0 bounds its rows in one step.
  void add(SequenceId id, int32_t num_tokens, int32_t max_chunk);
  /// Forgets a sequence, wherever it is; its pages are free at once.
  void remove(SequenceId id);
  /// One more token of a running sequence is known: its sampled continuation.
  void append_token(SequenceId id);

  /// The next step's rows, with pages assigned to all of them. Empty only if there is no sequence.
  /// Valid until the next call of a member that is not const.
  std::span<const ScheduledRows> schedule();
  /// The rows of the last schedule() were computed.
  void complete();

  /// Page numbers of a running sequence, by position / page_tokens.
  [[nodiscard]] std::span<const int32_t> pages(SequenceId id) const;

  [[nodiscard]] bool empty() const { return sequences_.empty(); }
  [[nodiscard]] int32_t running() const { return static_cast<int32_t>(running_.size()); }
  [[nodiscard]] int32_t waiting() const { return static_cast<int32_t>(waiting_.size()); }
  [[nodiscard]] uint64_t preemptions() const { return preemptions_; }
  [[nodiscard]] const PageAllocator& allocator() const { return allocator_; }

  /// Aborts if the books do not balance: every page in use is held exactly once by a sequence that
  /// needs it, waiting sequences hold none, limits are kept. For tests.
  void check_invariants() const;

 private:
  struct Sequence {
    SequenceId id = 0;
    int32_t num_tokens = 0;    // known tokens: prompt and sampled
    int32_t num_computed = 0;  // of these, how many have K and V in pages
    int32_t max_chunk = 0;
    bool scheduled = false;  // has rows in the current step
    std::vector<int32_t> pages;
  };

  void schedule_decodes();
  void schedule_prefills();
  void admit();
  void schedule_chunk(Sequence& sequence);
  [[nodiscard]] int32_t pages_for(int32_t tokens) const;
  bool take_pages(Sequence& sequence, int32_t tokens);
  bool preempt_one_younger_than(const Sequence& sequence);
  void preempt(Sequence& sequence);
  void release_pages(Sequence& sequence);
  void push(Sequence& sequence, int32_t row_count);

  SchedulerOptions options_;
  PageAllocator allocator_;
  std::unordered_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  std::vector<Sequence*> running_;  // oldest first
  std::deque<Sequence*> waiting_;   // next first
  std::vector<ScheduledRows> rows_;
  int32_t budget_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace hearth
