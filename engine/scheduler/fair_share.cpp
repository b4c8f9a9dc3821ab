#include "engine/scheduler/fair_share.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace hearth {

FairShare::Flow* FairShare::join(const std::string& key) {
  Flow& flow = flows_[key];
  if (flow.sequences == 0) {
    if (present_ > 0) flow.served_tokens = std::max(flow.served_tokens, least_served());
    ++present_;
  }
  ++flow.sequences;
  return &flow;
}

void FairShare::leave(Flow* flow) {
  HEARTH_CHECK(flow->sequences > 0, "a sequence leaves once");
  if (--flow->sequences > 0) return;
  --present_;
  if (present_ == 0) {
    flows_.clear();
  } else {
    forget_absent();
  }
}

uint64_t FairShare::least_served() const {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (const auto& [key, flow] : flows_)
    if (flow.sequences > 0) least = std::min(least, flow.served_tokens);
  return least;
}

// Whoever is at or below the least served of those present would be lifted to it anyway.
void FairShare::forget_absent() {
  if (flows_.size() - present_ <= kMaxAbsent) return;
  const uint64_t least = least_served();
  std::erase_if(flows_, [least](const auto& entry) {
    return entry.second.sequences == 0 && entry.second.served_tokens <= least;
  });
  if (flows_.size() - present_ <= kMaxAbsent) return;
  const auto victim = std::ranges::min_element(flows_, {}, [](const auto& entry) {
    const Flow& flow = entry.second;
    return flow.sequences > 0 ? std::numeric_limits<uint64_t>::max() : flow.served_tokens;
  });
  flows_.erase(victim);
}

}  // namespace hearth
