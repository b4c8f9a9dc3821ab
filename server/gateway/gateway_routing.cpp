// Which worker gets which request.
//
// First the worker that has most of the prompt in its prefix cache (prefix_affinity.h), unless
// another has so much less to do that computing the prompt again is cheaper; then the least loaded
// one. A beginning that all share is soon known to all workers, and load alone decides. A suspect
// (gateway_failover.cpp) is sent where nothing else is unproven.

#include <algorithm>
#include <limits>
#include <tuple>

#include "server/gateway/gateway.h"

namespace hearth {
namespace {

/// Prompt tokens that are worth waiting beside one more stream: it costs a newcomer a row in each
/// step of its answer, about as much as a prompt row once several share a step, and answers have
/// tens to hundreds of tokens.
constexpr int64_t kTokensPerChoice = 64;
/// Streams more than the least loaded worker has that any affinity is worth, as a part of those it
/// may run: a difference that evens out by itself as answers end.
constexpr int64_t kSlackDivisor = 4;

}  // namespace

void Gateway::dispatch() {
  dispatch_suspects();
  dispatch_others();
  metrics_.waiting().set(static_cast<double>(waiting_.size()));
}

void Gateway::dispatch_others() {
  // While a suspect waits, one worker takes nothing new, so that it soon has nothing unproven.
  std::optional<int32_t> reserved;
  if (!waiting_ids(true).empty()) reserved = choose_test_worker(false);
  for (const RequestId id : waiting_ids(false)) {
    bool assigned = false;
    while (!assigned) {
      const auto place = live_.find(id);
      const auto worker = choose_worker(*place->second, reserved);
      if (!worker) return;
      assigned = assign(place, *worker);
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

/// The ready worker that knows most of the prompt, and among equals the one with the fewest open
/// choices, not chosen for longest. One that may hang comes last; before it those that have no free
/// place, and those whose load outweighs what they know.
std::optional<int32_t> Gateway::choose_worker(const TrackedRequest& tracked,
                                              std::optional<int32_t> reserved) const {
  const auto known = affinity_.known_pages(tracked.prefix, options_.num_workers);
  const auto link_of = [this](int32_t index) -> const Link& {
    return links_[static_cast<size_t>(index)];
  };
  const auto open = [&](int32_t index) {
    const Link& of = link_of(index);
    return of.state == WorkerState::kReady && of.testing == 0 && index != reserved;
  };
  int64_t least_choices = std::numeric_limits<int64_t>::max();
  for (int32_t i = 0; i < options_.num_workers; ++i)
    if (open(i)) least_choices = std::min(least_choices, link_of(i).open_choices);

  const auto rank = [&](int32_t index) {
    const Link& of = link_of(index);
    const int32_t pages = known[static_cast<size_t>(index)];
    const bool full = of.open_choices + tracked.open_choices() > options_.parallel;
    const int64_t worth =
        options_.parallel / kSlackDivisor + int64_t{pages} * page_tokens_ / kTokensPerChoice;
    const bool outweighed = of.open_choices - least_choices > worth;
    return std::tuple(silent(of), full || outweighed, full, -pages, of.open_choices,
                      of.last_chosen);
  };
  std::optional<int32_t> best;
  for (int32_t i = 0; i < options_.num_workers; ++i)
    if (open(i) && (!best || rank(i) < rank(*best))) best = i;
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
  affinity_.record(worker, tracked.prefix);
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

}  // namespace hearth
