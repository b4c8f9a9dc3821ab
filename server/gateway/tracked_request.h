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

namespace hearth {

class TrackedRequest {
 public:
  /// `max_queued_events` bounds what a reader may leave unread.
  TrackedRequest(GenerateRequest request, Nanoseconds submitted, size_t max_queued_events);

  // Everything but `queue` is guarded by the gateway's mutex.

  /// Checks an event against what came before and takes note of it for replay. kMalformed if it
  /// contradicts: a token out of turn, a choice that has ended.
  Status note(const EngineEvent& event);
  /// Hands an event to the reader. False if the reader is too far behind; the request must then
  /// end: only fail() still fits.
  bool deliver(EngineEvent event);
  /// The last event there is.
  void fail(ErrorCode code, std::string message);

  [[nodiscard]] const GenerateRequest& request() const { return request_; }
  [[nodiscard]] int32_t open_choices() const { return open_choices_; }

  int32_t worker = -1;  // who works on it
  Nanoseconds submitted;
  Nanoseconds queue_time{0};
  std::optional<Nanoseconds> first_token_time;
  std::vector<Nanoseconds> last_token_time;  // [num_choices]; zero before the first token
  int64_t completion_tokens = 0;             // of the choices that have ended

  /// Has its own lock: the reader waits on it without the gateway's.
  BoundedQueue<EngineEvent> queue;

 private:
  /// `delivered` grows with every token: at any time this is the request that, submitted to any
  /// worker, goes on with the very token that comes next.
  GenerateRequest request_;
  const size_t max_queued_events_;
  int32_t open_choices_;
  std::vector<bool> ended_;          // [num_choices]
  int32_t next_prompt_logprob_ = 1;  // those before it were delivered
};

}  // namespace hearth
