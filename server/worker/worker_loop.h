#pragma once
// A worker's only thread: takes messages from the gateway, steps the engine while there is work,
// sends what each step produced. It never blocks on a gateway that does not read: once
// `max_unsent_bytes` wait for the socket it stops stepping, but still hears Cancel, Shutdown and
// the end of the gateway.

#include <chrono>
#include <cstddef>
#include <optional>

#include "base/clock.h"
#include "server/ipc/channel.h"
#include "server/worker/worker_engine.h"

namespace hearth {

enum class LoopEnd {
  kShutdown,        // the gateway said so
  kGatewayGone,     // its end of the socket is closed
  kBrokenProtocol,  // it sent what is no message; logged
};

class WorkerLoop {
 public:
  struct Options {
    /// Some thousands of steps; a gateway that is that far behind is stuck, not slow.
    size_t max_unsent_bytes = 4U << 20;
    std::chrono::milliseconds stats_interval{1000};
    /// In a long step, how often the gateway is told that it goes on.
    std::chrono::milliseconds alive_interval{200};
  };

  /// All references must outlive the loop.
  WorkerLoop(ipc::Channel& channel, WorkerEngine& engine, const Clock& clock)
      : WorkerLoop(channel, engine, clock, Options()) {}
  WorkerLoop(ipc::Channel& channel, WorkerEngine& engine, const Clock& clock, Options options);

  /// Runs until the gateway ends it. Exceptions of the engine pass through.
  LoopEnd run();

  /// Sets the log level. kMalformed if there is no such level.
  static Status take_log_level(const ipc::SetLogLevel& set);

 private:
  /// Waits for the socket as long as there is nothing else to do, and handles what came.
  std::optional<LoopEnd> exchange();
  std::optional<LoopEnd> receive();
  std::optional<LoopEnd> take_frames();
  std::optional<LoopEnd> handle(ipc::Down message);
  [[nodiscard]] bool may_step() const;
  /// One step. Returns its rows.
  uint32_t step();
  /// Called by the engine within a step.
  void say_alive();
  Status send_events(uint32_t step_tokens);
  Status send_stats_if_due();
  [[nodiscard]] std::chrono::milliseconds until_stats() const;

  ipc::Channel& channel_;
  WorkerEngine& engine_;
  const Clock& clock_;
  const Options options_;

  std::vector<EngineEvent> refusals_;  // of requests the engine did not take
  bool stats_sent_ = false;
  ipc::Stats last_stats_;
  Nanoseconds last_stats_time_{0};
  bool was_busy_ = false;
  Nanoseconds last_alive_time_{0};
};

}  // namespace hearth
