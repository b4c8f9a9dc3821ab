// What becomes of a request whose worker dies.
//
// A dead worker's requests are replayed: their delivered tokens travel with them, so that another
// worker goes on with the very next one. What can kill workers again and again must not: when a
// worker dies by its own fault, each request that it had is a suspect. A suspect is replayed where
// nothing else is unproven, one at a time, and nothing joins it until something new has come of it.
// If that worker dies by its own fault too, the suspect is to blame and is ended; if not, it is
// cleared. Workers that are killed from outside accuse nobody, however many there are: only a
// request that many die under at the very same token is given up.

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/check.h"
#include "server/gateway/gateway.h"

namespace hearth {
namespace {

/// Deaths under one request with nothing new between them, whoever killed: a request that makes its
/// worker run out of memory looks like this, as does an operator, who does not hit the same token
/// twenty times.
constexpr int32_t kMaxDeaths = 20;

}  // namespace

/// Something new has come of it: its worker survives it.
void Gateway::note_progress(TrackedRequest& tracked) {
  if (tracked.proven) return;
  Link& on = link(tracked.worker);
  tracked.proven = true;
  tracked.suspect = false;
  tracked.deaths = 0;
  --on.unproven;
  if (on.testing == tracked.request().id) on.testing = 0;
}

void Gateway::hand_on(int32_t worker, WorkerEnd end) {
  std::vector<RequestId> ids;
  for (const auto& [id, tracked] : live_)
    if (tracked->worker == worker) ids.push_back(id);
  if (ids.empty()) return;
  std::ranges::sort(ids);
  spdlog::warn("worker {} died {}; {} requests go on elsewhere", worker,
               end == WorkerEnd::kFault ? "by its own fault" : "from outside", ids.size());
  const RequestId tested = link(worker).testing;
  for (const RequestId id : ids) hand_on(live_.find(id), end, id == tested);
  dispatch();
}

void Gateway::hand_on(Live::iterator place, WorkerEnd end, bool tested) {
  const auto held = place->second;
  TrackedRequest& tracked = *held;
  const int32_t worker = tracked.worker;
  unassign(tracked);
  waiting_.insert(tracked.request().id);
  ++tracked.deaths;
  if ((tested && end == WorkerEnd::kFault) || tracked.deaths >= kMaxDeaths) {
    spdlog::error("request {} is given up: {} workers died under it", tracked.request().id,
                  tracked.deaths);
    fail_request(place, ErrorCode::kRequestFailedRepeatedly,
                 fmt::format("{} workers died while they worked on this request; it is not tried "
                             "again",
                             tracked.deaths));
    return;
  }
  if (end == WorkerEnd::kFault) tracked.suspect = true;
  series(worker).migrated.add();
  for (const FinishEvent& finish : tracked.stopped_choices()) {
    const auto noted = tracked.note(finish);
    HEARTH_CHECK(noted.has_value(), "an open choice can end");
    note_finish(tracked, finish);
    deliver(place, finish);
    if (!live_.contains(tracked.request().id)) return;
  }
}

}  // namespace hearth
