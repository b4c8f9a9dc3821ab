#pragma once
// A request that is live in the gateway: all that replay on another worker needs, and the events
// its reader has not taken yet.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/request.h"
#include "server/gateway/prefix_affinity.h"

namespace hearth {

class TrackedRequest {
 public:
  /// `max_queued_events` bounds what a reader may leave unread.
  TrackedRequest(GenerateRequest request, Nanoseconds submitted, size_t max_queued_events);

  // Everything but `queue` is guarded by the gateway's mutex.

  /// Checks an event against what came before and takes note of it for replay. True if it is new to
  /// the reader; a replay repeats prompt log-probabilities. kMalformed if it contradicts: a token
  /// out of turn, a choice that has ended.
  Result<bool> note(const EngineEvent& event);
  /// Hands an event to the reader. False if the reader is too far behind; the request must then
  /// end: only fail() still fits.
  bool deliver(EngineEvent event);
  /// The last event there is.
  void fail(ErrorCode code, std::string message);

  /// The reader wants no more of this choice.
  void stop_choice(int32_t choice);
  /// The ends of open choices that the reader wants no more of: a replay need not compute them.
  [[nodiscard]] std::vector<FinishEvent> stopped_choices() const;

  [[nodiscard]] const GenerateRequest& request() const { return request_; }
  [[nodiscard]] int32_t open_choices() const { return open_choices_; }

  PrefixAffinity::Chain prefix;  // of the prompt

  int32_t worker = -1;       // who works on it; -1: it waits for a worker
  int32_t last_worker = -1;  // who was the last to; -1: nobody yet
  // What speaks for and against it when a worker dies (gateway_failover.cpp).
  bool suspect = false;  // was on a worker that died by its own fault, and nothing new came since
  bool proven = false;   // its present worker has sent something new of it
  int32_t replays = 0;   // times it was sent again
  int32_t deaths = 0;    // of its workers in a row, without anything new between them

  Nanoseconds submitted;
  Nanoseconds sent{0};                    // to its present worker
  std::optional<Nanoseconds> queue_time;  // between submit() and the first batch
  int32_t cached_prompt_tokens = 0;       // at its first batch; a replay may find more or less
  std::optional<Nanoseconds> first_token_time;
  std::vector<Nanoseconds> last_token_time;  // [num_choices]; zero before the first token
  int64_t completion_tokens = 0;             // of the choices that have ended

  /// Has its own lock: the reader waits on it without the gateway's.
  BoundedQueue<EngineEvent> queue;

 private:
  /// `delivered` grows with every token, `finished` is set with every end: at any time this is the
  /// request that, submitted to any worker, goes on with the very token that comes next.
  GenerateRequest request_;
  const size_t max_queued_events_;
  int32_t open_choices_;
  std::vector<bool> stop_asked_;     // [num_choices]
  int32_t next_prompt_logprob_ = 1;  // those before it were delivered
};

}  // namespace hearth
