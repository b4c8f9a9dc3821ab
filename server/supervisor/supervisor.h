#pragma once
// Starts the worker processes, notices their end, starts them again, stops them. Nothing else: it
// neither reads their sockets nor knows what they do. Owned by the main thread, which must have
// blocked SIGCHLD (signals.h) before it made any other thread.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace hearth {

/// When a worker is started again. One that lived for a while is back at once; one that keeps
/// dying young waits first_delay, then twice as long each time, up to max_delay.
struct RestartPolicy {
  std::chrono::milliseconds young{5'000};
  std::chrono::milliseconds first_delay{250};
  std::chrono::milliseconds max_delay{30'000};

  /// The delay after `young_deaths` deaths in a row within `young` of the start. The first costs
  /// nothing: what kills once is rarely there again.
  [[nodiscard]] std::chrono::milliseconds delay(int32_t young_deaths) const;
};

/// How a process ended.
struct WorkerExit {
  int32_t worker = 0;
  pid_t pid = 0;
  int status = 0;            // as waitpid() gives it
  int32_t young_deaths = 0;  // in a row, this one included
  std::chrono::milliseconds restart_in{0};

  /// "exit status 1", "signal 9 (Killed)".
  [[nodiscard]] std::string describe() const;
  /// True if what the process did itself ended it: a crash signal, or a status other than 0.
  [[nodiscard]] bool by_own_fault() const;
};

class Supervisor {
 public:
  struct Options {
    int32_t num_workers = 1;
    std::string executable = "/proc/self/exe";
    /// argv of a worker; its socket is file descriptor kWorkerFd.
    std::function<std::vector<std::string>(int32_t worker)> arguments;
    RestartPolicy restart;
  };
  struct Listener {
    std::function<void(int32_t worker, pid_t pid, UniqueFd socket)> started;
    std::function<void(const WorkerExit& exit)> exited;
  };

  static constexpr int kWorkerFd = 3;

  Supervisor(Options options, Listener listener, const Clock& clock);
  /// Kills and reaps what still runs.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Starts all workers. kIo if a process cannot be made.
  Status start();
  /// Reaps whoever has died (call on SIGCHLD; also adopted orphans, as process 1 must) and plans
  /// the restarts.
  void reap();
  /// Starts the workers whose time has come. A start that fails is tried again later.
  void restart_due();
  /// Time until restart_due() has something to do; nothing if no restart is planned.
  [[nodiscard]] std::optional<std::chrono::milliseconds> until_restart() const;

  /// Kills process `pid` of `worker`, which is of no use any more. If that process has been
  /// replaced meanwhile, nothing happens.
  void kill(int32_t worker, pid_t pid);

  /// No more restarts; waits for `grace` until the workers, who were told by other means, have
  /// ended, then kills them. Afterwards no process is left.
  void stop(std::chrono::milliseconds grace);

  /// The process has loaded its model. From then on only a death by its own fault counts as young:
  /// one that is killed from outside is no crash loop, and is started again at once.
  void note_ready(pid_t pid);

  /// 0 while the worker does not run.
  [[nodiscard]] pid_t pid(int32_t worker) const;

 private:
  struct Process {
    pid_t pid = 0;
    Nanoseconds started{0};
    bool ready = false;
    int32_t young_deaths = 0;
    std::optional<Nanoseconds> restart_at;
  };

  Status spawn(int32_t worker);
  void note_exit(int32_t worker, int status);
  [[nodiscard]] bool any_running() const;

  const Options options_;
  const Listener listener_;
  const Clock& clock_;
  std::vector<Process> processes_;
  bool stopping_ = false;
};

}  // namespace hearth
