#pragma once
// The gateway's heart: admits requests, chooses the worker, moves events from the workers' sockets
// to the readers.
//
// Threads and what they own:
//   connection threads  submit(), and read their Generation; wait on their request's queue only
//   the IO thread       reads all workers' sockets, writes what did not go out at once
//   the main thread     attach()es the sockets of processes that the supervisor started, drains
// One mutex guards the table of requests and the workers' links; nothing blocks while holding it.
// A worker's death is the end of its socket: its requests fail, the others do not notice.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "server/gateway/gateway_metrics.h"
#include "server/gateway/generation_service.h"
#include "server/gateway/tracked_request.h"
#include "server/ipc/channel.h"

namespace hearth {

enum class WorkerState {
  kDown,     // no process, or its socket is closed
  kLoading,  // a process that has not said Ready
  kReady,
};

/// A snapshot for health reports.
struct WorkerStatus {
  WorkerState state = WorkerState::kDown;
  int32_t pid = 0;
  int32_t requests = 0;  // live ones
  uint64_t restarts = 0;
  ipc::Stats stats;
};

class Gateway final : public GenerationService {
 public:
  struct Options {
    int32_t num_workers = 1;
    int32_t max_requests = 256;  // live ones, running and waiting; more are refused
    /// Events a reader may leave unread: half a minute of a thousand tokens a second, after which
    /// the HTTP side has dropped a client that does not read.
    size_t max_queued_events = 65536;
    std::string model_name;  // label of the metrics
  };
  /// Called on the IO thread or in attach(), without the gateway's lock.
  struct Listener {
    std::function<void(int32_t worker, const ipc::Ready&)> ready;
    std::function<void(int32_t worker, const ipc::LoadFailed&)> load_failed;
  };

  /// `registry` and `clock` must outlive this.
  Gateway(Options options, Listener listener, metrics::Registry& registry, const Clock& clock);
  /// All Generations must be gone.
  ~Gateway() override;

  /// Takes the socket of a process that was just started for `worker`. A former process's socket
  /// is read to its end first.
  Status attach(int32_t worker, UniqueFd socket);

  Result<std::unique_ptr<Generation>> submit(GenerateRequest request) override;

  /// Refuses requests from now on.
  void drain();
  /// Ends all live requests with kUnavailable.
  void fail_all(const std::string& message);
  /// Tells all workers to end.
  void shut_down_workers();

  [[nodiscard]] bool draining() const;
  [[nodiscard]] int32_t live_requests() const;
  [[nodiscard]] std::vector<WorkerStatus> workers() const;

 private:
  class LiveGeneration;
  struct Link {
    std::optional<ipc::Channel> channel;
    bool wants_output = false;  // registered for EPOLLOUT
    WorkerState state = WorkerState::kDown;
    int32_t pid = 0;
    uint64_t starts = 0;
    int32_t requests = 0;
    int64_t open_choices = 0;
    uint64_t last_chosen = 0;
    ipc::Stats stats;
  };
  using Live = std::unordered_map<RequestId, std::shared_ptr<TrackedRequest>>;
  using Callbacks = std::vector<std::function<void()>>;

  void run_io();
  // All of these are called with mutex_ held.
  void serve_socket(int32_t worker, bool writable, Callbacks& callbacks);
  /// False if the link broke.
  bool take_frames(int32_t worker, Callbacks& callbacks);
  Status handle(int32_t worker, ipc::Up message, Callbacks& callbacks);
  Status handle_events(int32_t worker, ipc::Events events);
  Status handle_event(int32_t worker, EngineEvent event);
  void note_token(TrackedRequest& tracked, const TokenEvent& token);
  void note_finish(TrackedRequest& tracked, const FinishEvent& finish);
  [[nodiscard]] std::optional<int32_t> choose_worker() const;
  Status register_socket(int32_t worker, UniqueFd socket);
  Status send(int32_t worker, const ipc::Down& message);
  void watch_output(int32_t worker);
  void detach(int32_t worker, const std::string& why);
  void fail_request(Live::iterator place, ErrorCode code, const std::string& message);
  Live::iterator remove(Live::iterator place);
  [[nodiscard]] std::unexpected<Error> no_worker() const;
  WorkerSeries& series(int32_t worker) { return metrics_.worker(worker); }
  Link& link(int32_t worker) { return links_[static_cast<size_t>(worker)]; }

  // For LiveGeneration; take the lock themselves.
  void release(const TrackedRequest& tracked);
  void stop_choice(const TrackedRequest& tracked, int32_t choice);

  const Options options_;
  const Listener listener_;
  const Clock& clock_;
  GatewayMetrics metrics_;

  mutable std::mutex mutex_;
  std::vector<Link> links_;
  Live live_;
  RequestId next_id_ = 1;
  uint64_t choices_made_ = 0;
  bool draining_ = false;

  UniqueFd epoll_;
  UniqueFd wake_;  // an eventfd that ends the IO thread
  std::thread io_;
};

}  // namespace hearth
