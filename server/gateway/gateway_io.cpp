// The IO thread of the gateway: from the workers' sockets to the readers' queues.

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "server/gateway/gateway.h"

namespace hearth {
namespace {

double seconds(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }

RequestId request_of(const EngineEvent& event) {
  return std::visit([](const auto& e) { return e.request; }, event);
}

/// When its first batch began; a worker that died in it did not tell.
Nanoseconds start_of(const TrackedRequest& tracked) {
  return tracked.submitted + tracked.queue_time.value_or(Nanoseconds(0));
}

}  // namespace

void Gateway::run_io() {
  std::array<epoll_event, 16> events{};
  while (true) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), watch_ms_);
    HEARTH_CHECK(count >= 0 || errno == EINTR, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (event.data.u64 == links_.size()) return;  // the destructor's word
      Callbacks callbacks;
      {
        std::lock_guard lock(mutex_);
        serve_socket(static_cast<int32_t>(event.data.u64), (event.events & EPOLLOUT) != 0,
                     callbacks);
      }
      for (const auto& callback : callbacks) callback();
    }
    watch();
  }
}

/// The event may be of a socket that was closed since: then there is nothing to read.
void Gateway::serve_socket(int32_t worker, bool writable, Callbacks& callbacks) {
  Link& from = link(worker);
  if (!from.channel) return;
  if (writable) {
    if (const auto status = from.channel->flush(); !status.has_value()) {
      // Not detached yet: what it had sent before it died is read below, up to the end.
      spdlog::debug("worker {}: {}", worker, status.error().message);
    } else {
      watch_output(worker);
    }
  }
  const auto received = from.channel->receive();
  if (!take_frames(worker, callbacks)) return;
  if (received == ipc::Channel::Receive::kClosed) detach(worker, "its socket is closed", callbacks);
}

bool Gateway::take_frames(int32_t worker, Callbacks& callbacks) {
  while (link(worker).channel) {
    auto frame = link(worker).channel->next_frame();
    if (frame.has_value() && !frame->has_value()) return true;
    Status status;
    if (!frame.has_value()) {
      status = std::unexpected(frame.error());
    } else if (auto message = ipc::decode_up(**frame); !message.has_value()) {
      status = std::unexpected(message.error());
    } else {
      status = handle(worker, std::move(*message), callbacks);
    }
    if (!status.has_value()) {
      // A worker that breaks the protocol cannot be trusted with its other requests either. It
      // ends when it finds its socket closed.
      spdlog::error("worker {} breaks the protocol: {}", worker, status.error().message);
      link(worker).at_fault = true;
      detach(worker, status.error().message, callbacks);
    }
  }
  return false;
}

Status Gateway::handle(int32_t worker, ipc::Up message, Callbacks& callbacks) {
  Link& from = link(worker);
  if (!std::holds_alternative<ipc::Stats>(message)) from.last_progress = clock_.now();
  if (std::holds_alternative<ipc::Alive>(message)) return {};
  if (auto* events = std::get_if<ipc::Events>(&message))
    return handle_events(worker, std::move(*events));
  if (const auto* stats = std::get_if<ipc::Stats>(&message)) {
    series(worker).update(*stats, from.stats);
    from.stats = *stats;
    return {};
  }
  if (from.state == WorkerState::kReady)
    return fail(ErrorCode::kMalformed, "it reports a load when it is not loading");
  // Down: it had sent this before it died, which a message to it has shown. Why it died counts.
  if (from.state == WorkerState::kDown && !std::holds_alternative<ipc::LoadFailed>(message))
    return {};
  if (auto* ready = std::get_if<ipc::Ready>(&message)) {
    if (ready->page_tokens < 1) return fail(ErrorCode::kMalformed, "its KV pages hold no tokens");
    from.state = WorkerState::kReady;
    from.loading.reset();
    was_ready_ = true;
    page_tokens_ = ready->page_tokens;
    series(worker).up.set(1);
    metrics_.set_cache_config(worker, *ready);
    if (listener_.ready)
      callbacks.push_back(
          [this, worker, told = std::move(*ready)] { listener_.ready(worker, told); });
    dispatch();
  } else if (auto* failed = std::get_if<ipc::LoadFailed>(&message)) {
    if (listener_.load_failed) {
      callbacks.push_back(
          [this, worker, told = std::move(*failed)] { listener_.load_failed(worker, told); });
    }
  } else {
    return handle_load(worker, message, callbacks);
  }
  return {};
}

Status Gateway::handle_events(int32_t worker, ipc::Events events) {
  if (events.step_tokens > 0) series(worker).iteration_tokens.observe(events.step_tokens);
  for (const QueueTime& time : events.queue_times) {
    const auto place = live_.find(time.request);
    if (place == live_.end() || place->second->worker != worker) continue;
    note_start(*place->second, time);
  }
  for (EngineEvent& event : events.events)
    HEARTH_RETURN_IF_ERROR(handle_event(worker, std::move(event)));
  if (!waiting_.empty()) dispatch();  // what has ended or shown itself harmless makes room
  return {};
}

Status Gateway::handle_event(int32_t worker, EngineEvent event) {
  const auto place = live_.find(request_of(event));
  // Late events of a request that was cancelled here are normal.
  if (place == live_.end() || place->second->worker != worker) return {};
  const auto held = place->second;
  TrackedRequest& tracked = *held;
  if (auto* failure = std::get_if<FailEvent>(&event)) {
    fail_request(place, failure->code, failure->message);
    return {};
  }
  HEARTH_ASSIGN_OR_RETURN(const bool fresh, tracked.note(event));
  if (!fresh) return {};
  note_progress(tracked);
  if (const auto* token = std::get_if<TokenEvent>(&event)) note_token(tracked, *token);
  if (auto* finish = std::get_if<FinishEvent>(&event)) {
    if (tracked.replays > 0) finish->cached_prompt_tokens = tracked.cached_prompt_tokens;
    note_finish(tracked, *finish);
  }
  deliver(place, std::move(event));
  return {};
}

void Gateway::deliver(Live::iterator place, EngineEvent event) {
  const auto held = place->second;
  TrackedRequest& tracked = *held;
  const int32_t worker = tracked.worker;
  if (!tracked.deliver(std::move(event))) {
    fail_request(
        place, ErrorCode::kResourceExhausted,
        fmt::format("the answer is not being read: {} events wait", options_.max_queued_events));
    // A worker that died needs no word.
    if (worker >= 0 && link(worker).channel) (void)send(worker, ipc::Cancel{tracked.request().id});
  } else if (tracked.open_choices() == 0) {
    remove(place);
  }
}

/// The first batch of a request is its start, whatever happens to it later.
void Gateway::note_start(TrackedRequest& tracked, const QueueTime& time) {
  if (tracked.queue_time) return;
  tracked.queue_time = tracked.sent - tracked.submitted + Nanoseconds(time.waited_ns);
  tracked.cached_prompt_tokens = time.cached_prompt_tokens;
  series(tracked).queue_time.observe(seconds(*tracked.queue_time));
}

void Gateway::note_token(TrackedRequest& tracked, const TokenEvent& token) {
  const auto now = clock_.now();
  WorkerSeries& to = series(tracked);
  to.generation_tokens.add();
  if (!tracked.first_token_time) {
    tracked.first_token_time = now;
    to.time_to_first_token.observe(seconds(now - tracked.submitted));
    to.prefill_time.observe(seconds(now - start_of(tracked)));
    to.prompt_tokens.add(static_cast<double>(tracked.request().prompt.size()));
  }
  Nanoseconds& last = tracked.last_token_time[static_cast<size_t>(token.choice)];
  if (token.index > 0 && last != Nanoseconds(0)) to.inter_token.observe(seconds(now - last));
  last = now;
}

/// A conversation goes on where its last answer was computed.
void Gateway::note_answer(const TrackedRequest& tracked, int32_t choice) {
  PrefixAffinity::Chain whole = tracked.prefix;
  PrefixAffinity::extend(whole, tracked.request().prompt,
                         tracked.request().delivered[static_cast<size_t>(choice)], page_tokens_);
  affinity_.record(tracked.worker, whole);
}

/// `tracked` has noted the event already.
void Gateway::note_finish(TrackedRequest& tracked, const FinishEvent& finish) {
  if (tracked.worker >= 0) --link(tracked.worker).open_choices;
  WorkerSeries& to = series(tracked);
  switch (finish.reason) {
    case FinishReason::kStop:
      to.finished_stop.add();
      break;
    case FinishReason::kLength:
      to.finished_length.add();
      break;
    case FinishReason::kCancelled:
      to.finished_abort.add();
      break;
  }
  if (tracked.worker >= 0) note_answer(tracked, finish.choice);
  // A stop token is generated but never sent as a token.
  const auto sent = tracked.request().delivered[static_cast<size_t>(finish.choice)].size();
  if (std::cmp_greater(finish.completion_tokens, sent))
    to.generation_tokens.add(finish.completion_tokens - static_cast<double>(sent));
  if (tracked.open_choices() > 0) return;

  const auto now = clock_.now();
  const auto prompt_tokens = static_cast<double>(tracked.request().prompt.size());
  to.end_to_end.observe(seconds(now - tracked.submitted));
  to.inference_time.observe(seconds(now - start_of(tracked)));
  if (tracked.first_token_time) {
    to.decode_time.observe(seconds(now - *tracked.first_token_time));
  } else {
    to.prompt_tokens.add(prompt_tokens);  // ended with its first token, a stop token
  }
  to.request_prompt_tokens.observe(prompt_tokens);
  to.request_generation_tokens.observe(static_cast<double>(tracked.completion_tokens));
  to.request_major_faults.observe(static_cast<double>(finish.page_faults.major));
  to.request_minor_faults.observe(static_cast<double>(finish.page_faults.minor));
  to.prefix_queries.add(prompt_tokens);
  to.prefix_hits.add(finish.cached_prompt_tokens);
  to.cached_tokens.add(finish.cached_prompt_tokens);
}

}  // namespace hearth
