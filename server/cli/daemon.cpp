#include "server/cli/daemon.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "server/config/option_table.h"
#include "server/metrics/process_stats.h"
#include "server/supervisor/sd_notify.h"
#include "server/worker/fault.h"

namespace hearth {
namespace {

/// Deaths of one worker in a row, before any worker was ready, after which starting is given up:
/// what happens so reliably will not go away.
constexpr int32_t kHopelessDeaths = 5;

/// How long workers have to end by themselves once there is no work.
constexpr std::chrono::milliseconds kWorkerGrace{2000};

/// Between looks at the live requests while draining.
constexpr std::chrono::milliseconds kDrainPoll{20};

/// Between two words to systemd about an upload, and how much longer it may take then.
constexpr std::chrono::milliseconds kStatusInterval{1000};
constexpr std::chrono::microseconds kMoreStartTime = std::chrono::seconds(30);

/// What the workers upload at the moment, together; nothing if none does.
std::optional<ipc::Loading> load_of(const std::vector<WorkerStatus>& workers) {
  std::optional<ipc::Loading> sum;
  for (const WorkerStatus& worker : workers) {
    if (!worker.loading) continue;
    if (!sum) sum.emplace();
    sum->done_bytes += worker.loading->done_bytes;
    sum->total_bytes += worker.loading->total_bytes;
  }
  return sum;
}

double fraction_of(const ipc::Loading& load) {
  if (load.total_bytes == 0) return 0.0;
  return static_cast<double>(load.done_bytes) / static_cast<double>(load.total_bytes);
}

/// The fields of a health report that tell how far an upload is; none if there is none.
OrderedJson load_json(const std::optional<ipc::Loading>& load) {
  if (!load) return OrderedJson::object();
  return {{"progress", fraction_of(*load)},
          {"loaded_bytes", load->done_bytes},
          {"total_bytes", load->total_bytes}};
}

const char* state_name(WorkerState state) {
  switch (state) {
    case WorkerState::kDown:
      return "down";
    case WorkerState::kLoading:
      return "loading";
    case WorkerState::kReady:
      return "ready";
  }
  return "unknown";
}

}  // namespace

Daemon::Daemon(ServeOptions options, std::function<Result<ServeOptions>()> read_options,
               std::unique_ptr<auth::AccessPolicy> access, Signals signals,
               std::vector<WorkerOptions> worker_options, std::string model_name)
    : options_(std::move(options)),
      read_options_(std::move(read_options)),
      access_(std::move(access)),
      signals_(std::move(signals)),
      worker_options_(std::move(worker_options)),
      model_name_(std::move(model_name)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  HEARTH_CHECK(wake_.valid(), "eventfd");
  metrics::add_process_metrics(registry_);
}

Daemon::~Daemon() { shut_down(); }

Status Daemon::run(std::unique_ptr<ModelFile> file) {
  const auto num_workers = static_cast<int32_t>(worker_options_.size());
  const int32_t parallel = options_.parallel > 0 ? options_.parallel : kDefaultParallel;
  gateway_.emplace(
      Gateway::Options{.num_workers = num_workers,
                       .max_requests = options_.max_queue + parallel * num_workers,
                       .model_name = model_name_,
                       .worker_deadline = std::chrono::seconds(options_.worker_deadline_s),
                       .max_requests_per_key = options_.max_requests_per_key,
                       .queue_timeout = std::chrono::seconds(options_.queue_timeout_s),
                       .parallel = parallel,
                       .cache_salt = cache_salts()},
      Gateway::Listener{
          .ready = [this](int32_t, const ipc::Ready& ready) { tell_main(ready); },
          .load_failed = [this](int32_t, const ipc::LoadFailed& failed) { tell_main(failed); },
          .lost =
              [this](int32_t worker, int32_t pid) {
                tell_main(LostWorker{worker, pid});
              },
          .loading = [this](int32_t, const ipc::Loading& loading) { tell_main(loading); }},
      registry_, clock_);
  HEARTH_RETURN_IF_ERROR(listen());
  HEARTH_RETURN_IF_ERROR(start_workers());
  // The workers load while this builds the tokenizer.
  HEARTH_ASSIGN_OR_RETURN(model_, make_served_model(std::move(file), options_));
  const Status status = serve();
  shut_down();
  return status;
}

/// With keys, the fairness key of a request is the id of its key, whatever its headers say.
std::function<uint64_t(const std::string&)> Daemon::cache_salts() const {
  if (options_.shared_prefix_cache || !access_->requires_key()) return {};
  return [salt = auth::CacheSalt()](const std::string& key_id) { return salt.of(key_id); };
}

Status Daemon::listen() {
  http::HttpServer::Options http;
  http.host = options_.host;
  http.port = options_.port;
  http.limits.max_connections = options_.max_connections;
  http.limits.max_body_bytes = static_cast<size_t>(options_.max_body_mb) << 20;
  http.handler = [this](const http::Request& request, http::Response& response) {
    answer(request, response);
  };
  http.on_error = Api::render_error;
  HEARTH_ASSIGN_OR_RETURN(http_, http::HttpServer::listen(std::move(http)));
  http_thread_ = std::thread([this] { http_->run(); });
  return {};
}

void Daemon::answer(const http::Request& request, http::Response& response) {
  if (const Api* api = serving_api_.load(std::memory_order_acquire)) {
    api->handle(request, response);
  } else if (request.path == "/livez") {
    response.send(200, "application/json", R"({"status":"ok"})");
  } else {
    const std::string reason = "the model is being loaded; try again in a moment";
    auto body = OrderedJson::parse(Api::render_error(503, reason));
    body["status"] = "loading";
    body.update(load_json(load_of(gateway_->workers())));
    response.send(503, "application/json", body.dump(), {{"Retry-After", "1"}});
  }
}

Status Daemon::start_workers() {
  Supervisor::Options options;
  options.num_workers = static_cast<int32_t>(worker_options_.size());
  options.arguments = [this](int32_t worker) { return worker_arguments(worker); };
  Supervisor::Listener listener;
  listener.started = [this](int32_t worker, pid_t pid, UniqueFd socket) {
    // Without its socket the worker ends at once, and is started again.
    if (const auto status = gateway_->attach(worker, pid, std::move(socket)); !status.has_value())
      spdlog::error("{}", status.error().message);
  };
  listener.exited = [this](const WorkerExit& exit) { worker_exited(exit); };
  supervisor_.emplace(std::move(options), std::move(listener), clock_);
  return supervisor_->start();
}

std::vector<std::string> Daemon::worker_arguments(int32_t worker) {
  WorkerOptions& options = worker_options_[static_cast<size_t>(worker)];
  if (!options.fault.empty()) {
    const auto fault = parse_fault(options.fault);
    HEARTH_CHECK(fault.has_value(), "serve has checked --fault");
    if (fault->worker && *fault->worker != worker) options.fault.clear();
  }
  auto arguments = format_worker_arguments(options);
  // A fault of one worker is for its first process.
  if (options.fault.contains('/')) options.fault.clear();
  arguments.insert(arguments.begin(), {"hearth", "worker"});
  return arguments;
}

void Daemon::worker_exited(const WorkerExit& exit) {
  gateway_->worker_ended(exit.worker, exit.by_own_fault() ? WorkerEnd::kFault : WorkerEnd::kKilled);
  if (drain_end_) return;
  if (was_ready_) {
    spdlog::warn("worker {} (process {}) ended with {}; it is started again in {} ms", exit.worker,
                 exit.pid, exit.describe(), exit.restart_in.count());
  } else if (exit.young_deaths >= kHopelessDeaths) {
    hopeless_ = Error{ErrorCode::kInternal,
                      fmt::format("worker {} died {} times before it was ready, last with {}",
                                  exit.worker, exit.young_deaths, exit.describe()),
                      {}};
  }
}

void Daemon::tell_main(Notice notice) {
  {
    std::lock_guard lock(notices_mutex_);
    notices_.push_back(std::move(notice));
  }
  const uint64_t one = 1;
  HEARTH_CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one, "eventfd");
}

Status Daemon::take_notices() {
  std::vector<Notice> notices;
  {
    std::lock_guard lock(notices_mutex_);
    notices.swap(notices_);
  }
  for (const Notice& notice : notices) {
    if (const auto* ready = std::get_if<ipc::Ready>(&notice)) {
      supervisor_->note_ready(ready->pid);
      if (!was_ready_) become_ready(*ready);
    } else if (const auto* lost = std::get_if<LostWorker>(&notice)) {
      supervisor_->kill(lost->worker, lost->pid);
    } else if (std::holds_alternative<ipc::Loading>(notice)) {
      if (!was_ready_) tell_loading();
    } else {
      const auto& failed = std::get<ipc::LoadFailed>(notice);
      // At the start the same will happen again; later the cause may pass (memory that is short).
      if (!was_ready_) return fail(failed.code, failed.message);
      spdlog::error("a worker cannot load the model: {}", failed.message);
    }
  }
  if (hopeless_) return std::unexpected(*hopeless_);
  return {};
}

void Daemon::become_ready(const ipc::Ready& ready) {
  was_ready_ = true;
  model_->info.context_tokens = ready.context_tokens;
  ApiContext context{
      .tokenizer = *model_->tokenizer, .generations = *gateway_, .model = model_->info};
  if (model_->chat_template) context.chat_template = &*model_->chat_template;
  context.chat_template_error = model_->chat_template_error;
  context.template_tokens = model_->template_tokens;
  context.access = access_.get();
  context.health = [this] { return health(); };
  context.metrics = [this] { return registry_.expose(); };
  context.registry = &registry_;
  context.limits.max_tokens = options_.max_tokens_limit;
  api_ = std::make_unique<Api>(std::move(context));
  serving_api_.store(api_.get(), std::memory_order_release);

  spdlog::info("{}", ready.plan_line);
  const std::string host =
      options_.host.contains(':') ? fmt::format("[{}]", options_.host) : options_.host;
  std::printf("hearth serves %s at http://%s:%d\n", model_->info.id.c_str(), host.c_str(),
              http_->port());
  std::fflush(stdout);
  sd_notify(fmt::format("READY=1\nSTATUS=serving {}", model_->info.id));
}

/// Tells systemd how far the first load is, and that it may go on.
void Daemon::tell_loading() {
  const auto load = load_of(gateway_->workers());
  const auto now = clock_.now();
  if (!load || (told_loading_ && now - *told_loading_ < kStatusInterval)) return;
  told_loading_ = now;
  sd_notify(fmt::format("STATUS=loading {}: {:.0f} % of {:.1f} GiB\nEXTEND_TIMEOUT_USEC={}",
                        model_name_, 100.0 * fraction_of(*load),
                        static_cast<double>(load->total_bytes) / (1 << 30),
                        kMoreStartTime.count()));
}

HealthReport Daemon::health() const {
  HealthReport report;
  const auto workers = gateway_->workers();
  const auto num_ready = std::ranges::count(workers, WorkerState::kReady, &WorkerStatus::state);
  report.details["model"] = model_name_;
  report.details["workers"] = OrderedJson::array();
  for (const WorkerStatus& worker : workers) {
    OrderedJson row{{"state", state_name(worker.state)},
                    {"requests", worker.requests},
                    {"restarts", worker.restarts}};
    row.update(load_json(worker.loading));
    report.details["workers"].push_back(std::move(row));
  }
  if (gateway_->draining()) {
    report.status = "draining";
    report.ready = false;
  } else if (num_ready == 0) {
    report.status = "restarting";
    report.ready = false;
    report.details.update(load_json(load_of(workers)));
  } else if (std::cmp_less(num_ready, workers.size())) {
    report.status = "degraded";
  }
  return report;
}

bool Daemon::handle_signal(int signal) {
  if (signal == SIGCHLD) {
    supervisor_->reap();
  } else if (signal == SIGHUP) {
    if (drain_end_) return false;  // nothing new is served any more
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(clock_.now());
    // Before it was ready, being ready again would be news to systemd.
    if (was_ready_) sd_notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.count()));
    reload();
    if (was_ready_) sd_notify("READY=1");
  } else if (drain_end_) {
    spdlog::info("a second signal: ending at once");
    return true;
  } else {
    gateway_->drain();
    drain_end_ = clock_.now() + std::chrono::seconds(options_.drain_timeout_s);
    sd_notify("STOPPING=1\nSTATUS=draining");
    spdlog::info("draining: {} requests have up to {} s", gateway_->live_requests(),
                 options_.drain_timeout_s);
  }
  return false;
}

/// What can change while requests run: the API keys and the log level. All or nothing.
void Daemon::reload() {
  auto fresh = read_options_();
  Status status;
  if (!fresh.has_value()) {
    status = std::unexpected(fresh.error());
  } else {
    status = access_->reload(fresh->api_keys);
  }
  if (!status.has_value()) {
    spdlog::error("reload: {}; everything stays as it was", status.error().message);
    return;
  }
  const auto level = set_log_level(fresh->log_level);
  HEARTH_CHECK(level.has_value(), "the option table knows the log levels");
  for (WorkerOptions& worker : worker_options_) worker.log_level = fresh->log_level;
  gateway_->set_worker_log_level(fresh->log_level);
  options_.log_level = fresh->log_level;
  options_.api_keys = fresh->api_keys;
  for (const std::string_view flag : changed_options(options_, *fresh))
    spdlog::warn("reload: {} has changed, which takes a restart", flag);
  spdlog::info("reload: API keys and log level are read again");
}

std::chrono::milliseconds Daemon::wait_time() const {
  if (drain_end_) return kDrainPoll;
  return supervisor_->until_restart().value_or(std::chrono::milliseconds(-1));
}

bool Daemon::drained() const {
  if (!drain_end_) return false;
  if (gateway_->live_requests() == 0) return true;
  if (clock_.now() < *drain_end_) return false;
  spdlog::warn("the drain time is over; {} requests end unfinished", gateway_->live_requests());
  return true;
}

Status Daemon::serve() {
  while (!drained()) {
    const auto signal = signals_.wait(wait_time(), wake_.get());
    if (signal && handle_signal(*signal)) break;
    HEARTH_RETURN_IF_ERROR(take_notices());
    supervisor_->restart_due();
  }
  return {};
}

/// In the order of dependence: readers first, then the workers, then what both used.
void Daemon::shut_down() {
  if (!gateway_) return;
  gateway_->drain();
  gateway_->fail_all("the server is shutting down");
  if (http_) {
    http_->stop();
    http_thread_.join();
    http_.reset();
  }
  if (supervisor_) {
    gateway_->shut_down_workers();
    if (!drain_end_) drain_end_ = clock_.now();  // ends of workers are no news any more
    supervisor_->stop(kWorkerGrace);
    supervisor_.reset();
  }
  api_.reset();
  gateway_.reset();
}

}  // namespace hearth
