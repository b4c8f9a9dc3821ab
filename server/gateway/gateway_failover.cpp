// Which worker gets which request, and what becomes of a request whose worker dies.
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
#include <tuple>

#include "base/check.h"
#include "server/gateway/gateway.h"

namespace hearth {
namespace {

/// Deaths under one request with nothing new between them, whoever killed: a request that makes its
/// worker run out of memory looks like this, as does an operator, who does not hit the same token
/// twenty times.
constexpr int32_t kMaxDeaths = 20;

}  // namespace

void Gateway::dispatch() {
  dispatch_suspects();
  // While a suspect waits, one worker takes nothing new, so that it soon has nothing unproven.
  std::optional<int32_t> reserved;
  if (!waiting_ids(true).empty()) reserved = choose_test_worker(false);
  for (const RequestId id : waiting_ids(false)) {
    bool assigned = false;
    while (!assigned) {
      const auto worker = choose_worker(reserved);
      if (!worker) return;
      assigned = assign(live_.find(id), *worker);
    }
  }
}

void Gateway::dispatch_suspects() {
  for (const RequestId id : waiting_ids(true)) {
    bool assigned = false;
    while (!assigned) {
      const auto worker = choose_test_worker(true);
      if (!worker) return;
      assigned = assign(live_.find(id), *worker);
    }
  }
}

std::vector<RequestId> Gateway::waiting_ids(bool suspects) const {
  std::vector<RequestId> ids;
  for (const RequestId id : waiting_)
    if (live_.at(id)->suspect == suspects) ids.push_back(id);
  return ids;
}

/// The ready worker with the fewest open choices, one that may hang last; among equals the one not
/// chosen for longest.
std::optional<int32_t> Gateway::choose_worker(std::optional<int32_t> reserved) const {
  std::optional<int32_t> best;
  for (int32_t i = 0; i < options_.num_workers; ++i) {
    const Link& candidate = links_[static_cast<size_t>(i)];
    if (candidate.state != WorkerState::kReady || candidate.testing != 0 || i == reserved) continue;
    const auto load = [this](int32_t index) {
      const Link& of = links_[static_cast<size_t>(index)];
      return std::tuple(silent(of), of.open_choices, of.last_chosen);
    };
    if (!best || load(i) < load(*best)) best = i;
  }
  return best;
}

/// A worker for a suspect: the one with the fewest unproven requests, or, if `idle`, only one that
/// has none of them. At most half of the ready workers test suspects at a time.
std::optional<int32_t> Gateway::choose_test_worker(bool idle) const {
  const auto ready = std::ranges::count(links_, WorkerState::kReady, &Link::state);
  const auto testing = std::ranges::count_if(links_, [](const Link& l) { return l.testing != 0; });
  if (testing >= (ready + 1) / 2) return std::nullopt;
  std::optional<int32_t> best;
  for (int32_t i = 0; i < options_.num_workers; ++i) {
    const Link& candidate = links_[static_cast<size_t>(i)];
    if (candidate.state != WorkerState::kReady || candidate.testing != 0) continue;
    if (idle && candidate.unproven > 0) continue;
    const auto load = [this](int32_t index) {
      const Link& of = links_[static_cast<size_t>(index)];
      return std::tuple(of.unproven, of.open_choices);
    };
    if (!best || load(i) < load(*best)) best = i;
  }
  return best;
}

bool Gateway::assign(Live::iterator place, int32_t worker) {
  TrackedRequest& tracked = *place->second;
  const RequestId id = tracked.request().id;
  if (const auto status = send(worker, ipc::Submit{tracked.request()}); !status.has_value()) {
    if (status.error().code == ErrorCode::kIo) return false;  // it is out of the choice now
    fail_request(place, status.error().code, status.error().message);
    return true;
  }
  waiting_.erase(id);
  Link& to = link(worker);
  if (to.requests++ == 0) to.last_progress = clock_.now();
  ++to.unproven;
  to.open_choices += tracked.open_choices();
  to.last_chosen = ++choices_made_;
  if (tracked.suspect) to.testing = id;
  if (tracked.last_worker < 0) {
    series(worker).params_n.observe(tracked.request().num_choices);
    series(worker).params_max_tokens.observe(tracked.request().max_tokens);
  } else {
    ++tracked.replays;
  }
  tracked.worker = worker;
  tracked.last_worker = worker;
  tracked.proven = false;
  tracked.sent = clock_.now();
  return true;
}

/// Takes a request from its worker's load; it has no worker then.
void Gateway::unassign(TrackedRequest& tracked) {
  Link& from = link(tracked.worker);
  --from.requests;
  from.open_choices -= tracked.open_choices();
  if (!tracked.proven) --from.unproven;
  if (from.testing == tracked.request().id) from.testing = 0;
  tracked.worker = -1;
}

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
