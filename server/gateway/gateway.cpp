#include "server/gateway/gateway.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"

namespace hearth {

namespace {

/// Often enough that what is overdue is found within a tenth more than its time.
int watch_interval_ms(std::chrono::milliseconds worker_deadline,
                      std::chrono::milliseconds queue_timeout) {
  const auto none = std::chrono::milliseconds::max();
  const auto deadline = std::min(worker_deadline.count() > 0 ? worker_deadline : none,
                                 queue_timeout.count() > 0 ? queue_timeout : none);
  if (deadline == none) return -1;
  return static_cast<int>(std::clamp<int64_t>(deadline.count() / 10, 10, 250));
}

}  // namespace

/// A connection thread's hold on its request.
class Gateway::LiveGeneration final : public Generation {
 public:
  LiveGeneration(Gateway& gateway, std::shared_ptr<TrackedRequest> tracked)
      : gateway_(gateway), tracked_(std::move(tracked)) {}
  ~LiveGeneration() override { gateway_.release(*tracked_); }

  std::optional<EngineEvent> next(std::chrono::milliseconds timeout) override {
    return tracked_->queue.pop_for(timeout);
  }
  void stop_choice(int32_t choice) override { gateway_.stop_choice(*tracked_, choice); }

 private:
  Gateway& gateway_;
  std::shared_ptr<TrackedRequest> tracked_;
};

Gateway::Gateway(Options options, Listener listener, metrics::Registry& registry,
                 const Clock& clock)
    : options_(std::move(options)),
      listener_(std::move(listener)),
      clock_(clock),
      metrics_(registry, options_.model_name, options_.num_workers),
      links_(static_cast<size_t>(options_.num_workers)),
      watch_ms_(watch_interval_ms(options_.worker_deadline, options_.queue_timeout)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  HEARTH_CHECK(options_.num_workers <= PrefixAffinity::kMaxWorkers, "few enough workers");
  HEARTH_CHECK(epoll_.valid() && wake_.valid(), "file descriptors for the IO thread");
  epoll_event wake{.events = EPOLLIN, .data = {.u64 = links_.size()}};
  HEARTH_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &wake) == 0, "epoll_ctl");
  io_ = std::thread([this] { run_io(); });
}

Gateway::~Gateway() {
  const uint64_t one = 1;
  HEARTH_CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one, "eventfd");
  io_.join();
  HEARTH_CHECK(live_.empty(), "generations end before the gateway");
}

Status Gateway::attach(int32_t worker, int32_t pid, UniqueFd socket) {
  worker_ended(worker, WorkerEnd::kKilled);  // a former process that was not reported
  std::lock_guard lock(mutex_);
  link(worker).pid = pid;
  return register_socket(worker, std::move(socket));
}

void Gateway::worker_ended(int32_t worker, WorkerEnd end) {
  Callbacks callbacks;
  {
    std::lock_guard lock(mutex_);
    Link& gone = link(worker);
    // What it had sent is still worth reading.
    while (gone.channel && gone.channel->receive() == ipc::Channel::Receive::kData)
      if (!take_frames(worker, callbacks)) break;
    detach(worker, "its process has ended", callbacks);
    hand_on(worker, gone.at_fault ? WorkerEnd::kFault : end);
    tell(weights_.forget(worker));
    gone.pid = 0;
    gone.at_fault = false;
  }
  for (const auto& callback : callbacks) callback();
}

Status Gateway::register_socket(int32_t worker, UniqueFd socket) {
  Link& to = link(worker);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = static_cast<uint64_t>(worker)}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) {
    return fail(ErrorCode::kIo, fmt::format("cannot watch the socket of worker {}: {}", worker,
                                            std::generic_category().message(errno)));
  }
  to.channel.emplace(std::move(socket));
  to.wants_output = false;
  to.state = WorkerState::kLoading;
  to.waits_for_weights = false;
  to.loading.reset();
  to.stats = {};
  to.last_progress = clock_.now();
  affinity_.forget(worker);
  if (to.starts++ > 0) series(worker).restarts.add();
  return {};
}

Result<std::unique_ptr<Generation>> Gateway::submit(GenerateRequest request) {
  if (request.num_choices < 1) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("n is {}, expected at least 1", request.num_choices), "n");
  }
  const auto now = clock_.now();
  std::lock_guard lock(mutex_);
  if (draining_) {
    metrics_.rejected("draining").add();
    return fail(ErrorCode::kUnavailable, "the server is shutting down");
  }
  if (std::cmp_greater_equal(live_.size(), options_.max_requests)) {
    metrics_.rejected("queue_full").add();
    return fail(ErrorCode::kResourceExhausted,
                fmt::format("{} requests are running or waiting, which is the limit",
                            options_.max_requests));
  }
  if (const auto own = live_of_key_.find(request.fairness_key);
      options_.max_requests_per_key > 0 && own != live_of_key_.end() &&
      own->second >= options_.max_requests_per_key) {
    metrics_.rejected("key_limit").add();
    return fail(ErrorCode::kResourceExhausted,
                fmt::format("{} requests of this key are running or waiting, which is its limit",
                            options_.max_requests_per_key));
  }
  if (!was_ready_) {
    metrics_.rejected("no_worker").add();
    return fail(ErrorCode::kUnavailable, "the model is being loaded; try again in a moment");
  }
  request.id = next_id_++;
  if (options_.cache_salt) request.cache_salt = options_.cache_salt(request.fairness_key);
  ++live_of_key_[request.fairness_key];
  auto tracked =
      std::make_shared<TrackedRequest>(std::move(request), now, options_.max_queued_events);
  tracked->prefix = PrefixAffinity::chain_of(tracked->request().prompt,
                                             tracked->request().cache_salt, page_tokens_);
  live_.emplace(tracked->request().id, tracked);
  waiting_.insert(tracked->request().id);
  dispatch();
  return std::make_unique<LiveGeneration>(*this, std::move(tracked));
}

/// Sends to a worker that has a channel. After kIo it is not chosen any more; the IO thread reads
/// what it had sent before it died, then detaches it.
Status Gateway::send(int32_t worker, const ipc::Down& message,
                     ipc::Channel::Attachment attachment) {
  Link& to = link(worker);
  auto status = to.channel->send(message, std::move(attachment));
  if (!status.has_value() && status.error().code == ErrorCode::kIo) {
    to.state = WorkerState::kDown;
  } else {
    watch_output(worker);
  }
  return status;
}

/// Registers for EPOLLOUT exactly while bytes wait.
void Gateway::watch_output(int32_t worker) {
  Link& to = link(worker);
  const bool wants = to.channel->unsent_bytes() > 0;
  if (wants == to.wants_output) return;
  epoll_event event{.events = EPOLLIN | (wants ? static_cast<uint32_t>(EPOLLOUT) : 0U),
                    .data = {.u64 = static_cast<uint64_t>(worker)}};
  HEARTH_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, to.channel->fd(), &event) == 0,
               "an attached socket is registered");
  to.wants_output = wants;
}

/// The end of a worker's socket. Its requests stay with it until it is known how it ended.
void Gateway::detach(int32_t worker, const std::string& why, Callbacks& callbacks) {
  Link& gone = link(worker);
  if (!gone.channel) return;
  gone.channel.reset();  // closing takes it out of the epoll set
  gone.state = WorkerState::kDown;
  gone.loading.reset();
  series(worker).up.set(0);
  series(worker).running.set(0);
  series(worker).waiting.set(0);
  series(worker).kv_usage.set(0);
  series(worker).kv_pages_cached.set(0);
  spdlog::debug("worker {}: connection ended ({})", worker, why);
  if (listener_.lost)
    callbacks.push_back([this, worker, pid = gone.pid] { listener_.lost(worker, pid); });
}

/// Ends a request towards its reader. The worker is not told.
void Gateway::fail_request(Live::iterator place, ErrorCode code, const std::string& message) {
  TrackedRequest& tracked = *place->second;
  series(tracked).finished_error.add(tracked.open_choices());
  tracked.fail(code, message);
  remove(place);
}

/// Takes a request out of the table and out of its worker's load.
Gateway::Live::iterator Gateway::remove(Live::iterator place) {
  const auto tracked = place->second;
  if (tracked->worker >= 0) {
    unassign(*tracked);
  } else {
    waiting_.erase(tracked->request().id);
  }
  metrics_.waiting().set(static_cast<double>(waiting_.size()));
  const auto own = live_of_key_.find(tracked->request().fairness_key);
  if (--own->second == 0) live_of_key_.erase(own);
  tracked->queue.close();
  return live_.erase(place);
}

void Gateway::release(const TrackedRequest& tracked) {
  std::lock_guard lock(mutex_);
  const auto place = live_.find(tracked.request().id);
  if (place == live_.end()) return;  // it has ended by itself
  const int32_t worker = tracked.worker;
  series(tracked).cancelled_requests.add();
  series(tracked).finished_abort.add(tracked.open_choices());
  remove(place);
  // A worker that cannot be told has died: nothing is left to cancel.
  if (worker >= 0 && link(worker).channel) (void)send(worker, ipc::Cancel{tracked.request().id});
  if (!waiting_.empty()) dispatch();
}

void Gateway::stop_choice(TrackedRequest& tracked, int32_t choice) {
  std::lock_guard lock(mutex_);
  if (!live_.contains(tracked.request().id)) return;
  tracked.stop_choice(choice);
  // Without a worker that can be told, the note is heeded when the request is handed on.
  if (tracked.worker >= 0 && link(tracked.worker).channel)
    (void)send(tracked.worker, ipc::StopChoice{tracked.request().id, choice});
}

void Gateway::drain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
}

bool Gateway::draining() const {
  std::lock_guard lock(mutex_);
  return draining_;
}

void Gateway::fail_all(const std::string& message) {
  std::lock_guard lock(mutex_);
  while (!live_.empty()) fail_request(live_.begin(), ErrorCode::kUnavailable, message);
}

void Gateway::shut_down_workers() {
  std::lock_guard lock(mutex_);
  for (int32_t i = 0; i < options_.num_workers; ++i)
    if (link(i).channel) (void)send(i, ipc::Shutdown{});  // one that has gone needs no word
}

void Gateway::set_worker_log_level(const std::string& level) {
  std::lock_guard lock(mutex_);
  for (int32_t i = 0; i < options_.num_workers; ++i)
    if (link(i).channel) (void)send(i, ipc::SetLogLevel{level});  // the next process starts with it
}

int32_t Gateway::live_requests() const {
  std::lock_guard lock(mutex_);
  return static_cast<int32_t>(live_.size());
}

std::vector<WorkerStatus> Gateway::workers() const {
  std::lock_guard lock(mutex_);
  std::vector<WorkerStatus> all;
  for (const Link& link : links_) {
    all.push_back({.state = link.state,
                   .pid = link.pid,
                   .requests = link.requests,
                   .restarts = link.starts > 0 ? link.starts - 1 : 0,
                   .loading = link.loading,
                   .stats = link.stats});
  }
  return all;
}

}  // namespace hearth
