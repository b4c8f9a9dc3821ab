#pragma once
// `hearth serve`, running: the gateway process with its workers.
//
// Threads: main (supervisor, signals, life and death of the whole), the gateway's IO thread, one
// thread that accepts connections and one for each of them (server/http).

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "server/api/api.h"
#include "server/auth/access_policy.h"
#include "server/auth/cache_salt.h"
#include "server/cli/served_model.h"
#include "server/gateway/gateway.h"
#include "server/metrics/registry.h"
#include "server/supervisor/signals.h"
#include "server/supervisor/supervisor.h"
#include "server/worker/worker_options.h"

namespace hearth {

class Daemon {
 public:
  /// `read_options` gives the options as they are now: the file may have changed. `file` is opened
  /// and `worker_options[i]` are those of worker i.
  Daemon(ServeOptions options, std::function<Result<ServeOptions>()> read_options,
         std::unique_ptr<auth::AccessPolicy> access, Signals signals,
         std::vector<WorkerOptions> worker_options, std::string model_name);
  ~Daemon();

  /// Serves until a signal ends it. An error says why it cannot serve.
  Status run(std::unique_ptr<ModelFile> file);

 private:
  struct LostWorker {
    int32_t worker = 0;
    pid_t pid = 0;
  };
  /// What the IO thread tells the main thread.
  using Notice = std::variant<ipc::Ready, ipc::LoadFailed, LostWorker, ipc::Loading>;

  [[nodiscard]] std::function<uint64_t(const std::string&)> cache_salts() const;
  Status listen();
  void answer(const http::Request& request, http::Response& response);
  Status start_workers();
  [[nodiscard]] std::vector<std::string> worker_arguments(int32_t worker);
  void worker_exited(const WorkerExit& exit);
  void tell_main(Notice notice);
  Status take_notices();
  void become_ready(const ipc::Ready& ready);
  void tell_loading();
  /// True when it is time to end.
  bool handle_signal(int signal);
  void reload();
  [[nodiscard]] std::chrono::milliseconds wait_time() const;
  [[nodiscard]] bool drained() const;
  Status serve();
  void shut_down();
  [[nodiscard]] HealthReport health() const;

  ServeOptions options_;
  const std::function<Result<ServeOptions>()> read_options_;
  const std::unique_ptr<auth::AccessPolicy> access_;
  Signals signals_;
  std::vector<WorkerOptions> worker_options_;
  const std::string model_name_;
  const SteadyClock clock_;

  metrics::Registry registry_;
  std::optional<ServedModel> model_;
  UniqueFd wake_;  // eventfd: there are notices
  std::mutex notices_mutex_;
  std::vector<Notice> notices_;
  std::optional<Gateway> gateway_;
  std::optional<Supervisor> supervisor_;
  std::unique_ptr<Api> api_;
  std::atomic<const Api*> serving_api_{nullptr};  // api_ once a worker is ready
  std::unique_ptr<http::HttpServer> http_;
  std::thread http_thread_;

  bool was_ready_ = false;
  std::optional<Nanoseconds> told_loading_;  // when systemd last heard of it
  std::optional<Error> hopeless_;            // why no worker will ever be ready
  std::optional<Nanoseconds> drain_end_;     // set once draining
};

}  // namespace hearth
