#include "server/gateway/tracked_request.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "base/check.h"

namespace hearth {

TrackedRequest::TrackedRequest(GenerateRequest request, Nanoseconds submit_time,
                               size_t max_queued_events)
    : submitted(submit_time),
      last_token_time(static_cast<size_t>(request.num_choices), Nanoseconds(0)),
      queue(max_queued_events + 1),  // one place is kept for fail()
      request_(std::move(request)),
      max_queued_events_(max_queued_events),
      open_choices_(request_.num_choices),
      stop_asked_(static_cast<size_t>(request_.num_choices), false) {
  request_.delivered.resize(static_cast<size_t>(request_.num_choices));
  request_.finished.resize(static_cast<size_t>(request_.num_choices), 0);
}

Result<bool> TrackedRequest::note(const EngineEvent& event) {
  if (const auto* logprob = std::get_if<PromptLogprobEvent>(&event)) {
    const bool repeated = replays > 0 && logprob->index < next_prompt_logprob_;
    if (repeated) return false;
    if (logprob->index != next_prompt_logprob_) {
      return hearth::fail(ErrorCode::kMalformed,
                          fmt::format("prompt log-probability {} came, expected {}", logprob->index,
                                      next_prompt_logprob_));
    }
    ++next_prompt_logprob_;
    return true;
  }
  const auto* token = std::get_if<TokenEvent>(&event);
  const auto* finish = std::get_if<FinishEvent>(&event);
  if (token == nullptr && finish == nullptr) return true;
  const int32_t choice = token != nullptr ? token->choice : finish->choice;
  if (choice < 0 || choice >= request_.num_choices ||
      request_.finished[static_cast<size_t>(choice)] != 0) {
    return hearth::fail(ErrorCode::kMalformed,
                        fmt::format("an event of choice {} came, which is not open", choice));
  }
  if (token != nullptr) {
    auto& delivered = request_.delivered[static_cast<size_t>(choice)];
    if (!std::cmp_equal(token->index, delivered.size())) {
      return hearth::fail(ErrorCode::kMalformed,
                          fmt::format("token {} of choice {} came, expected {}", token->index,
                                      choice, delivered.size()));
    }
    delivered.push_back(token->token);
  } else {
    request_.finished[static_cast<size_t>(choice)] = 1;
    --open_choices_;
    completion_tokens += finish->completion_tokens;
  }
  return true;
}

void TrackedRequest::stop_choice(int32_t choice) {
  HEARTH_CHECK(choice >= 0 && choice < request_.num_choices, "the reader stops a choice it has");
  stop_asked_[static_cast<size_t>(choice)] = true;
}

std::vector<FinishEvent> TrackedRequest::stopped_choices() const {
  std::vector<FinishEvent> ends;
  for (size_t i = 0; i < stop_asked_.size(); ++i) {
    if (!stop_asked_[i] || request_.finished[i] != 0) continue;
    ends.push_back({.request = request_.id,
                    .choice = static_cast<int32_t>(i),
                    .reason = FinishReason::kStop,
                    .completion_tokens = static_cast<int32_t>(request_.delivered[i].size()),
                    .cached_prompt_tokens = cached_prompt_tokens});
  }
  return ends;
}

bool TrackedRequest::deliver(EngineEvent event) {
  if (queue.size() >= max_queued_events_) return false;
  const bool pushed = queue.try_push(std::move(event));
  HEARTH_CHECK(pushed, "the gateway alone fills the queue, so there is room");
  return true;
}

void TrackedRequest::fail(ErrorCode code, std::string message) {
  const bool pushed = queue.try_push(EngineEvent(FailEvent{request_.id, code, std::move(message)}));
  HEARTH_CHECK(pushed, "one place is kept for the failure");
}

}  // namespace hearth
