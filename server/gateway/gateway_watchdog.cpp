// Health means progress: a worker with work that shows none within its deadline is given up.
//
// Progress is a completed step (Events), or a sign of life from within a long one (Alive), which a
// worker sends as it goes through the model's layers. So the deadline bounds a part of a layer, not
// a whole step, and holds for large models on slow machines too. Stats do not count: they would
// come from a loop that turns without stepping. Major page faults do: weights that come from a slow
// disk are progress, and a process that hangs has none. An upload to a GPU tells how far it is
// (Loading), and each step of that counts; a worker that waits for another one's upload has nothing
// to show, and is not looked at.

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "server/gateway/gateway.h"

namespace hearth {
namespace {

using std::chrono::milliseconds;

/// Loading maps files and plans memory: seconds at most, on whatever machine. Also between two
/// signs of life of an upload to a GPU, the first of which waits for the memory.
constexpr milliseconds kLoadDeadline{120'000};
/// A stopped process cannot be a slow one: it is given up this soon.
constexpr milliseconds kStoppedDeadline{2'000};

/// A pause between two looks that long is the gateway's own: it was stopped, or had no CPU. What it
/// did not hear then is nobody's silence.
constexpr milliseconds kOwnPause{1'000};
/// Silence after which a process is looked at.
constexpr milliseconds kLookAfter{1'000};

struct ProcessLook {
  char state = '\0';          // 'R', 'S', 'D', 'T' …
  uint64_t major_faults = 0;  // pages read from a disk, since the process began
};

/// Fields 3 and 12 of /proc/<pid>/stat (proc(5)); nothing if there is no such process.
std::optional<ProcessLook> look_at(int32_t pid) {
  std::string line;
  std::getline(std::ifstream(fmt::format("/proc/{}/stat", pid)), line);
  const size_t name_end = line.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  ProcessLook look;
  fields >> look.state;
  std::string skipped;
  for (int field = 4; field < 12; ++field) fields >> skipped;
  fields >> look.major_faults;
  if (!fields) return std::nullopt;
  return look;
}

bool is_stopped(int32_t pid) {
  const auto look = look_at(pid);
  return look && look->state == 'T';
}

}  // namespace

/// Runs on the IO thread, after what the sockets had was read.
void Gateway::watch() {
  if (watch_ms_ < 0) return;
  Callbacks callbacks;
  {
    std::lock_guard lock(mutex_);
    const auto now = clock_.now();
    const auto pause = now - last_watch_;
    if (pause < milliseconds(watch_ms_)) return;
    if (last_watch_ != Nanoseconds(0) && pause > kOwnPause)
      for (Link& each : links_) each.last_progress = std::min(each.last_progress + pause, now);
    last_watch_ = now;
    if (options_.worker_deadline.count() > 0) watch_progress(callbacks);
    if (options_.queue_timeout.count() > 0) end_overdue();
  }
  for (const auto& callback : callbacks) callback();
}

void Gateway::watch_progress(Callbacks& callbacks) {
  for (int32_t i = 0; i < options_.num_workers; ++i) {
    Link& watched = link(i);
    const auto why = hang_of(watched);
    if (!why) continue;
    spdlog::error("worker {} is replaced: {}", i, *why);
    series(i).hangs.add();
    // One that was stopped from outside is not to blame, nor is its work.
    watched.at_fault = !is_stopped(watched.pid);
    detach(i, *why, callbacks);
  }
}

/// Ends the requests that have waited for their first batch for too long.
void Gateway::end_overdue() {
  const auto now = clock_.now();
  for (auto place = live_.begin(); place != live_.end();) {
    const auto next = std::next(place);
    const TrackedRequest& tracked = *place->second;
    const int32_t worker = tracked.worker;
    const RequestId id = tracked.request().id;
    if (!tracked.queue_time && now - tracked.submitted >= options_.queue_timeout) {
      metrics_.rejected("queue_timeout").add();
      fail_request(place, ErrorCode::kUnavailable,
                   fmt::format("the request has not begun to run within {} ms; try again later",
                               options_.queue_timeout.count()));
      // A worker that died needs no word.
      if (worker >= 0 && link(worker).channel) (void)send(worker, ipc::Cancel{id});
    }
    place = next;
  }
  if (!waiting_.empty()) dispatch();
}

std::optional<std::string> Gateway::hang_of(Link& of) const {
  if (!of.channel || of.state == WorkerState::kDown) return std::nullopt;
  const bool loading = of.state == WorkerState::kLoading;
  if (!loading && of.requests == 0) return std::nullopt;
  if (loading && of.waits_for_weights) return std::nullopt;
  const auto idle = std::chrono::duration_cast<milliseconds>(clock_.now() - of.last_progress);
  if (idle < kLookAfter && idle < options_.worker_deadline / 2) {
    of.major_faults.reset();
    return std::nullopt;
  }
  const auto look = look_at(of.pid);
  if (look) {
    const bool reads = of.major_faults && look->major_faults > *of.major_faults;
    of.major_faults = look->major_faults;
    if (reads) {
      of.last_progress = clock_.now();
      return std::nullopt;
    }
  }
  const auto deadline =
      loading ? std::max(kLoadDeadline, options_.worker_deadline) : options_.worker_deadline;
  if (idle >= deadline)
    return fmt::format("{} and no progress for {} ms", loading ? "loading" : "work", idle.count());
  if (idle >= kStoppedDeadline && look && look->state == 'T')
    return fmt::format("stopped by a signal, no progress for {} ms", idle.count());
  return std::nullopt;
}

/// Half of the deadline has passed: it may hang.
bool Gateway::silent(const Link& of) const {
  if (options_.worker_deadline.count() == 0 || of.requests == 0) return false;
  return clock_.now() - of.last_progress > options_.worker_deadline / 2;
}

}  // namespace hearth
