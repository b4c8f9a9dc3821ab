#include "server/worker/worker_loop.h"

#include <poll.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "server/metrics/process_stats.h"

namespace hearth {
namespace {

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};

/// What other parts of the daemon act on at once; the rest may wait for the next interval.
bool load_changed(const EngineStats& a, const EngineStats& b) {
  return a.running != b.running || a.waiting != b.waiting || a.cancelled != b.cancelled ||
         a.preemptions != b.preemptions;
}

}  // namespace

WorkerLoop::WorkerLoop(ipc::Channel& channel, WorkerEngine& engine, const Clock& clock,
                       Options options)
    : channel_(channel), engine_(engine), clock_(clock), options_(options) {
  engine_.on_progress([this] { say_alive(); });
}

LoopEnd WorkerLoop::run() {
  // What came while the model was loaded may be waiting in the channel.
  if (const auto end = take_frames()) return *end;
  while (true) {
    if (const auto end = exchange()) return *end;
    const uint32_t rows = may_step() ? step() : 0;
    // The only error of sending is a gateway that has gone (messages are far below the limit).
    if (!send_events(rows).has_value() || !send_stats_if_due().has_value())
      return LoopEnd::kGatewayGone;
  }
}

bool WorkerLoop::may_step() const {
  return engine_.has_work() && channel_.unsent_bytes() <= options_.max_unsent_bytes;
}

std::optional<LoopEnd> WorkerLoop::exchange() {
  pollfd item{.fd = channel_.fd(), .events = POLLIN, .revents = 0};
  if (channel_.unsent_bytes() > 0) item.events |= POLLOUT;
  const auto timeout = may_step() ? std::chrono::milliseconds(0) : until_stats();
  // A signal interrupts poll() at most once more than needed: the caller simply turns again.
  if (::poll(&item, 1, static_cast<int>(timeout.count())) <= 0) return std::nullopt;
  if ((item.revents & POLLOUT) != 0 && !channel_.flush().has_value()) return LoopEnd::kGatewayGone;
  if ((item.revents & ~POLLOUT) != 0) return receive();
  return std::nullopt;
}

std::optional<LoopEnd> WorkerLoop::receive() {
  const auto received = channel_.receive();
  if (const auto end = take_frames()) return end;
  if (received == ipc::Channel::Receive::kClosed) return LoopEnd::kGatewayGone;
  return std::nullopt;
}

std::optional<LoopEnd> WorkerLoop::take_frames() {
  while (true) {
    const auto frame = channel_.next_frame();
    if (!frame.has_value()) {
      spdlog::error("broken stream from the gateway: {}", frame.error().message);
      return LoopEnd::kBrokenProtocol;
    }
    if (!frame->has_value()) return std::nullopt;
    auto message = ipc::decode_down(**frame);
    if (!message.has_value()) {
      spdlog::error("broken message from the gateway: {}", message.error().message);
      return LoopEnd::kBrokenProtocol;
    }
    if (const auto end = handle(std::move(*message))) return end;
  }
}

Status WorkerLoop::take_log_level(const ipc::SetLogLevel& set) {
  if (set_log_level(set.level).has_value()) return {};
  return fail(ErrorCode::kMalformed, "there is no log level '" + set.level + "'");
}

std::optional<LoopEnd> WorkerLoop::handle(ipc::Down message) {
  return std::visit(
      Overloaded{
          [this](ipc::Submit& submit) -> std::optional<LoopEnd> {
            const RequestId id = submit.request.id;
            if (const auto status = engine_.submit(std::move(submit.request)); !status.has_value())
              refusals_.emplace_back(FailEvent{id, status.error().code, status.error().message});
            return std::nullopt;
          },
          [this](const ipc::Cancel& cancel) -> std::optional<LoopEnd> {
            engine_.cancel(cancel.request);
            return std::nullopt;
          },
          [this](const ipc::StopChoice& stop) -> std::optional<LoopEnd> {
            engine_.stop_choice(stop.request, stop.choice);
            return std::nullopt;
          },
          [](const ipc::Shutdown&) -> std::optional<LoopEnd> { return LoopEnd::kShutdown; },
          [](const ipc::SetLogLevel& set) -> std::optional<LoopEnd> {
            const auto status = take_log_level(set);
            if (status.has_value()) return std::nullopt;
            spdlog::error("broken message from the gateway: {}", status.error().message);
            return LoopEnd::kBrokenProtocol;
          },
          [](const auto& /*about weights*/) -> std::optional<LoopEnd> {
            spdlog::error("broken message from the gateway: weights, after they were loaded");
            return LoopEnd::kBrokenProtocol;
          },
      },
      message);
}

uint32_t WorkerLoop::step() {
  const EngineStats before = engine_.stats();
  last_alive_time_ = clock_.now();
  engine_.step();
  const EngineStats after = engine_.stats();
  return static_cast<uint32_t>(after.prompt_tokens + after.generated_tokens - before.prompt_tokens -
                               before.generated_tokens);
}

void WorkerLoop::say_alive() {
  const auto now = clock_.now();
  if (now - last_alive_time_ < options_.alive_interval) return;
  last_alive_time_ = now;
  // A gateway that has gone is noticed after the step; one that does not read needs no more.
  if (channel_.unsent_bytes() == 0) (void)channel_.send(ipc::Up(ipc::Alive{}));
}

Status WorkerLoop::send_events(uint32_t step_tokens) {
  ipc::Events message;
  message.events = engine_.poll();
  std::ranges::move(refusals_, std::back_inserter(message.events));
  refusals_.clear();
  message.queue_times = engine_.take_queue_times();
  message.step_tokens = step_tokens;
  if (message.events.empty() && message.queue_times.empty() && step_tokens == 0) return {};
  return channel_.send(ipc::Up(std::move(message)));
}

std::chrono::milliseconds WorkerLoop::until_stats() const {
  if (!stats_sent_) return std::chrono::milliseconds(0);
  const auto due = last_stats_time_ + options_.stats_interval - clock_.now();
  // Rounded up, so that waking means being due.
  return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(due), std::chrono::milliseconds(1),
                    options_.stats_interval);
}

Status WorkerLoop::send_stats_if_due() {
  // What waits for the socket is bounded: figures that are not read are not worth more of it.
  if (channel_.unsent_bytes() > options_.max_unsent_bytes) return {};
  ipc::Stats stats = last_stats_;
  stats.engine = engine_.stats();
  const auto now = clock_.now();
  const bool busy = engine_.has_work();
  const bool interval_over = !stats_sent_ || now - last_stats_time_ >= options_.stats_interval;
  const bool became_idle = was_busy_ && !busy;
  was_busy_ = busy;
  if (!interval_over && !became_idle && !load_changed(stats.engine, last_stats_.engine)) return {};
  if (interval_over) {
    // Read from /proc, which costs more than a step of a small model should pay each time.
    const metrics::ProcessMemory memory = metrics::read_process_memory();
    stats.resident_bytes = memory.resident_bytes;
    stats.private_bytes = memory.private_bytes;
    last_stats_time_ = now;
  }
  stats_sent_ = true;
  last_stats_ = stats;
  return channel_.send(ipc::Up(std::move(stats)));
}

}  // namespace hearth
