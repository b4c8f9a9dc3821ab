#pragma once
// The gateway's heart: admits requests, chooses the worker, moves events from the workers' sockets
// to the readers.
//
// Threads and what they own:
//   connection threads  submit(), and read their Generation; wait on their request's queue only
//   the IO thread       reads all workers' sockets, writes what did not go out at once
//   the main thread     attach()es the sockets of processes that the supervisor started, drains
// One mutex guards the table of requests and the workers' links; nothing blocks while holding it.
// A worker's death is the end of its socket, then worker_ended(): its requests go on elsewhere
// (gateway_failover.cpp), the others do not notice.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "server/gateway/gateway_metrics.h"
#include "server/gateway/generation_service.h"
#include "server/gateway/prefix_affinity.h"
#include "server/gateway/tracked_request.h"
#include "server/gateway/weights_keeper.h"
#include "server/ipc/channel.h"

namespace hearth {

enum class WorkerState {
  kDown,     // no process, or its socket is closed
  kLoading,  // a process that has not said Ready
  kReady,
};

/// How a worker's process ended, as far as blame for it goes.
enum class WorkerEnd {
  kKilled,  // from outside, or it ended as told: nothing that it worked on is to blame
  kFault,   // by itself: it crashed, gave up, or hung; what it worked on may be the cause
};

/// A snapshot for health reports.
struct WorkerStatus {
  WorkerState state = WorkerState::kDown;
  int32_t pid = 0;
  int32_t requests = 0;  // live ones
  uint64_t restarts = 0;
  std::optional<ipc::Loading> loading;  // while it uploads weights to a GPU
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
    /// A worker with work that shows no progress for so long is given up; 0: never.
    std::chrono::milliseconds worker_deadline{0};
    int32_t max_requests_per_key = 0;            // live ones of one fairness key; 0: no limit
    std::chrono::milliseconds queue_timeout{0};  // for a request to begin to run; 0: none
    int32_t parallel = 16;                       // sequences that a worker runs at once
    /// The prefix-cache salt of a request by its fairness key. Not set: all share.
    std::function<uint64_t(const std::string&)> cache_salt = {};
  };
  /// Called on the IO thread or in attach(), without the gateway's lock.
  struct Listener {
    std::function<void(int32_t worker, const ipc::Ready&)> ready;
    std::function<void(int32_t worker, const ipc::LoadFailed&)> load_failed;
    /// The connection to process `pid` is over. If it still runs it is of no use: kill it.
    std::function<void(int32_t worker, int32_t pid)> lost;
    /// Some times a second while a worker uploads weights.
    std::function<void(int32_t worker, const ipc::Loading&)> loading = {};
  };

  /// `registry` and `clock` must outlive this.
  Gateway(Options options, Listener listener, metrics::Registry& registry, const Clock& clock);
  /// All Generations must be gone.
  ~Gateway() override;

  /// Takes the socket of process `pid`, just started for `worker`. The former process has ended.
  Status attach(int32_t worker, int32_t pid, UniqueFd socket);
  /// The process of `worker` has ended. Reads what it had sent, then hands its requests on.
  void worker_ended(int32_t worker, WorkerEnd end);

  Result<std::unique_ptr<Generation>> submit(GenerateRequest request) override;

  /// Refuses requests from now on.
  void drain();
  /// Ends all live requests with kUnavailable.
  void fail_all(const std::string& message);
  /// Tells all workers to end.
  void shut_down_workers();
  /// Tells all workers what to log from now on.
  void set_worker_log_level(const std::string& level);

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
    bool at_fault = false;                 // it hung or broke the protocol
    Nanoseconds last_progress{0};          // or when it got work, or was started
    std::optional<uint64_t> major_faults;  // when it was last looked at, if it was silent then
    int32_t requests = 0;
    int32_t unproven = 0;   // of them, those of which nothing new has come from this process
    RequestId testing = 0;  // a suspect that must show itself harmless before anything joins it
    int64_t open_choices = 0;
    uint64_t last_chosen = 0;
    bool waits_for_weights = false;  // that another worker uploads: no progress is expected of it
    std::optional<ipc::Loading> loading;
    ipc::Stats stats;
  };
  using Live = std::unordered_map<RequestId, std::shared_ptr<TrackedRequest>>;
  using Callbacks = std::vector<std::function<void()>>;

  void run_io();
  void watch();
  void watch_progress(Callbacks& callbacks);
  void end_overdue();
  // All of these are called with mutex_ held.
  void serve_socket(int32_t worker, bool writable, Callbacks& callbacks);
  [[nodiscard]] std::optional<std::string> hang_of(Link& of) const;
  [[nodiscard]] bool silent(const Link& of) const;
  /// False if the link broke.
  bool take_frames(int32_t worker, Callbacks& callbacks);
  Status handle(int32_t worker, ipc::Up message, Callbacks& callbacks);
  Status handle_events(int32_t worker, ipc::Events events);
  Status handle_event(int32_t worker, EngineEvent event);
  void note_start(TrackedRequest& tracked, const QueueTime& time);
  void note_token(TrackedRequest& tracked, const TokenEvent& token);
  void note_finish(TrackedRequest& tracked, const FinishEvent& finish);
  void note_answer(const TrackedRequest& tracked, int32_t choice);
  /// Hands a noted event to the reader, or ends a request whose reader does not read.
  void deliver(Live::iterator place, EngineEvent event);
  Status register_socket(int32_t worker, UniqueFd socket);
  Status send(int32_t worker, const ipc::Down& message, ipc::Channel::Attachment attachment = {});
  void watch_output(int32_t worker);
  void detach(int32_t worker, const std::string& why, Callbacks& callbacks);

  // How workers come by their weights (gateway_weights.cpp).
  Status handle_load(int32_t worker, const ipc::Up& message, Callbacks& callbacks);
  void want_weights(int32_t worker, const WeightsLayout& layout);
  Status have_weights(int32_t worker, const WeightsLayout& layout);
  void tell(WeightsKeeper::Answers answers);

  // Which worker gets which request (gateway_routing.cpp).
  void dispatch();
  void dispatch_suspects();
  void dispatch_others();
  /// False if the worker turned out to be dead.
  bool assign(Live::iterator place, int32_t worker);
  void unassign(TrackedRequest& tracked);
  [[nodiscard]] std::optional<int32_t> choose_worker(const TrackedRequest& tracked,
                                                     std::optional<int32_t> reserved) const;
  [[nodiscard]] std::optional<int32_t> choose_test_worker(bool idle) const;
  [[nodiscard]] std::vector<RequestId> waiting_ids(bool suspects) const;

  // What becomes of a request when its worker dies (gateway_failover.cpp).
  void note_progress(TrackedRequest& tracked);
  void hand_on(int32_t worker, WorkerEnd end);
  void hand_on(Live::iterator place, WorkerEnd end, bool tested);

  void fail_request(Live::iterator place, ErrorCode code, const std::string& message);
  Live::iterator remove(Live::iterator place);
  WorkerSeries& series(int32_t worker) { return metrics_.worker(worker); }
  /// Where a request is counted: at the worker that has it or had it last.
  WorkerSeries& series(const TrackedRequest& tracked) {
    return series(std::max(tracked.last_worker, 0));
  }
  Link& link(int32_t worker) { return links_[static_cast<size_t>(worker)]; }

  // For LiveGeneration; take the lock themselves.
  void release(const TrackedRequest& tracked);
  void stop_choice(TrackedRequest& tracked, int32_t choice);

  const Options options_;
  const Listener listener_;
  const Clock& clock_;
  GatewayMetrics metrics_;

  mutable std::mutex mutex_;
  std::vector<Link> links_;
  Live live_;
  std::unordered_map<std::string, int32_t> live_of_key_;  // live requests by fairness key
  std::set<RequestId> waiting_;  // the live ones without a worker; the oldest first
  WeightsKeeper weights_;
  PrefixAffinity affinity_;
  int32_t page_tokens_ = 1;  // of the workers' KV pages, once one has loaded the model
  bool was_ready_ = false;   // some worker has
  RequestId next_id_ = 1;
  uint64_t choices_made_ = 0;
  bool draining_ = false;

  const int watch_ms_;  // between looks at the workers' progress; -1: none
  Nanoseconds last_watch_{0};

  UniqueFd epoll_;
  UniqueFd wake_;  // an eventfd that ends the IO thread
  std::thread io_;
};

}  // namespace hearth
