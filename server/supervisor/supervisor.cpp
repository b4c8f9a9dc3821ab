#include "server/supervisor/supervisor.h"

#include <spawn.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "base/check.h"
#include "server/ipc/channel.h"

extern char** environ;

namespace hearth {
namespace {

/// Attributes and file actions of posix_spawn(), released together.
struct SpawnPlan {
  SpawnPlan() {
    HEARTH_CHECK(posix_spawnattr_init(&attributes) == 0, "posix_spawnattr_init");
    HEARTH_CHECK(posix_spawn_file_actions_init(&actions) == 0, "posix_spawn_file_actions_init");
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
};

/// The child starts with no signal blocked and none ignored, whatever the gateway does with them.
void reset_signals(posix_spawnattr_t* attributes) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  HEARTH_CHECK(posix_spawnattr_setsigmask(attributes, &none) == 0, "setsigmask");
  HEARTH_CHECK(posix_spawnattr_setsigdefault(attributes, &all) == 0, "setsigdefault");
  HEARTH_CHECK(
      posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) == 0,
      "setflags");
}

}  // namespace

std::chrono::milliseconds RestartPolicy::delay(int32_t young_deaths) const {
  if (young_deaths <= 1) return std::chrono::milliseconds(0);
  auto delay = first_delay;
  for (int32_t i = 2; i < young_deaths && delay < max_delay; ++i) delay *= 2;
  return std::min(delay, max_delay);
}

std::string WorkerExit::describe() const {
  if (WIFSIGNALED(status))
    return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("exit status {}", WEXITSTATUS(status));
}

bool WorkerExit::by_own_fault() const {
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status) != 0;
  constexpr std::array kCrashes{SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
  return std::ranges::find(kCrashes, WTERMSIG(status)) != kCrashes.end();
}

Supervisor::Supervisor(Options options, Listener listener, const Clock& clock)
    : options_(std::move(options)),
      listener_(std::move(listener)),
      clock_(clock),
      processes_(static_cast<size_t>(options_.num_workers)) {}

Supervisor::~Supervisor() { stop(std::chrono::milliseconds(0)); }

Status Supervisor::start() {
  for (int32_t i = 0; i < options_.num_workers; ++i) HEARTH_RETURN_IF_ERROR(spawn(i));
  return {};
}

Status Supervisor::spawn(int32_t worker) {
  HEARTH_ASSIGN_OR_RETURN(auto sockets, ipc::socket_pair());
  SpawnPlan plan;
  reset_signals(&plan.attributes);
  // Duplicating clears close-on-exec, also onto the same number; all else is close-on-exec.
  HEARTH_CHECK(
      posix_spawn_file_actions_adddup2(&plan.actions, sockets.second.get(), kWorkerFd) == 0,
      "adddup2");
  std::vector<std::string> arguments = options_.arguments(worker);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  Process& process = processes_[static_cast<size_t>(worker)];
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, options_.executable.c_str(), &plan.actions,
                                  &plan.attributes, argv.data(), environ);
  if (error != 0) {
    return fail(ErrorCode::kIo,
                fmt::format("cannot start worker {} from {}: {}", worker, options_.executable,
                            std::generic_category().message(error)));
  }
  process.pid = pid;
  process.started = clock_.now();
  process.ready = false;
  process.restart_at.reset();
  listener_.started(worker, pid, std::move(sockets.first));
  return {};
}

void Supervisor::reap() {
  while (true) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;  // nobody has died, or there are no children
    for (size_t i = 0; i < processes_.size(); ++i)
      if (processes_[i].pid == pid) note_exit(static_cast<int32_t>(i), status);
  }
}

void Supervisor::note_ready(pid_t pid) {
  for (Process& process : processes_)
    if (process.pid == pid) process.ready = true;
}

void Supervisor::note_exit(int32_t worker, int status) {
  Process& process = processes_[static_cast<size_t>(worker)];
  WorkerExit exit{.worker = worker, .pid = std::exchange(process.pid, 0), .status = status};
  const auto now = clock_.now();
  const bool young =
      now - process.started < options_.restart.young && (exit.by_own_fault() || !process.ready);
  process.young_deaths = young ? process.young_deaths + 1 : 0;
  exit.young_deaths = process.young_deaths;
  exit.restart_in = options_.restart.delay(process.young_deaths);
  if (!stopping_) process.restart_at = now + exit.restart_in;
  listener_.exited(exit);
}

void Supervisor::restart_due() {
  const auto now = clock_.now();
  for (size_t i = 0; i < processes_.size(); ++i) {
    Process& process = processes_[i];
    if (stopping_ || !process.restart_at || *process.restart_at > now) continue;
    if (const auto status = spawn(static_cast<int32_t>(i)); !status.has_value()) {
      spdlog::error("{}", status.error().message);
      process.restart_at = now + options_.restart.max_delay;
    }
  }
}

std::optional<std::chrono::milliseconds> Supervisor::until_restart() const {
  std::optional<std::chrono::milliseconds> soonest;
  for (const Process& process : processes_) {
    if (!process.restart_at) continue;
    const auto wait =
        std::max(std::chrono::ceil<std::chrono::milliseconds>(*process.restart_at - clock_.now()),
                 std::chrono::milliseconds(0));
    soonest = std::min(wait, soonest.value_or(wait));
  }
  return soonest;
}

void Supervisor::kill(int32_t worker, pid_t pid) {
  // Not reaped yet, so the number belongs to no other process.
  if (pid > 0 && processes_[static_cast<size_t>(worker)].pid == pid) ::kill(pid, SIGKILL);
}

void Supervisor::stop(std::chrono::milliseconds grace) {
  stopping_ = true;
  for (Process& process : processes_) process.restart_at.reset();
  const auto until = clock_.now() + grace;
  reap();
  while (any_running() && clock_.now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    reap();
  }
  for (size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i].pid == 0) continue;
    ::kill(processes_[i].pid, SIGKILL);
    int status = 0;
    while (::waitpid(processes_[i].pid, &status, 0) < 0 && errno == EINTR) {
    }
    note_exit(static_cast<int32_t>(i), status);
  }
}

bool Supervisor::any_running() const {
  return std::ranges::any_of(processes_, [](const Process& process) { return process.pid != 0; });
}

pid_t Supervisor::pid(int32_t worker) const { return processes_[static_cast<size_t>(worker)].pid; }

}  // namespace hearth
