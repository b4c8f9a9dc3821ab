#include "engine/sampler/candidates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <numeric>

#include "base/check.h"
#include "base/checked_math.h"
#include "engine/sampler/vector_math.h"
#include "kernels/sampling/sampling_math.h"

namespace hearth {
namespace {

using kernels::mass_of;

// Up to here a heap beats selecting from a copy of the whole vocabulary.
constexpr int32_t kHeapTopK = 1024;

bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

uint64_t total_mass(std::span<const Candidate> candidates) {
  uint64_t sum = 0;
  for (const Candidate& c : candidates) sum += c.mass;
  return sum;
}

/// The worst of the `k` best logits, 0 < k <= size; logit and token of it.
Candidate kth_largest(std::span<const float> logits, size_t k, std::vector<Candidate>& scratch) {
  scratch.clear();
  const auto at = [&](size_t i) { return Candidate{logits[i], static_cast<int32_t>(i), 0}; };
  if (k > static_cast<size_t>(kHeapTopK)) {
    for (size_t i = 0; i < logits.size(); ++i) scratch.push_back(at(i));
    const auto kth = scratch.begin() + static_cast<ptrdiff_t>(k - 1);
    std::nth_element(scratch.begin(), kth, scratch.end(), likelier);
    return *kth;
  }
  for (size_t i = 0; i < k; ++i) scratch.push_back(at(i));
  std::ranges::make_heap(scratch, likelier);
  for (size_t i = k; i < logits.size(); ++i) {
    // Ids ascend, so an equal logit that comes later is worse.
    if (!(logits[i] > scratch.front().logit)) continue;
    std::ranges::pop_heap(scratch, likelier);
    scratch.back() = at(i);
    std::ranges::push_heap(scratch, likelier);
  }
  return scratch.front();
}

/// Calls visit(token, mass) for all tokens of a vocabulary in order.
template <typename Visit>
void visit_masses(std::span<const float> logits, float max, float temperature, Visit visit) {
  std::array<float, kChunk> exps;
  for (size_t begin = 0; begin < logits.size(); begin += kChunk) {
    const auto chunk = logits.subspan(begin, std::min(kChunk, logits.size() - begin));
    exp_chunk(chunk, max, temperature, exps);
    for (size_t i = 0; i < chunk.size(); ++i) visit(begin + i, mass_of(exps[i]));
  }
}

/// Keys of a prefix order: smaller is better, ties to lower ids.
struct KeyedOrder {
  float (*key)(const Candidate&, float);
  float argument;

  float operator()(const Candidate& c) const { return key(c, argument); }
  bool better(const Candidate& a, const Candidate& b) const {
    const float key_a = (*this)(a);
    const float key_b = (*this)(b);
    return key_a < key_b || (key_a == key_b && a.token < b.token);
  }
};

/// Fills `selected` with candidates among which the prefix that reaches `target` ends, and lowers
/// `target` by the mass of all better ones. Keys are not negative, so they order as their bits do,
/// and the upper bits are buckets: 32 to an octave, which few of a large vocabulary share.
void select_bucket(std::span<const Candidate> candidates, const KeyedOrder& order, uint64_t& target,
                   CandidateScratch& scratch) {
  constexpr int kShift = 18;
  constexpr size_t kBuckets = 1 << (31 - kShift);
  const auto bucket_of = [&](const Candidate& c) {
    return std::bit_cast<uint32_t>(std::fabs(order(c))) >> kShift;
  };
  scratch.masses.assign(kBuckets, 0);
  for (const Candidate& c : candidates) scratch.masses[bucket_of(c)] += c.mass;
  uint32_t bucket = 0;
  while (scratch.masses[bucket] < target) target -= scratch.masses[bucket++];
  std::ranges::copy_if(candidates, std::back_inserter(scratch.candidates),
                       [&](const Candidate& c) { return bucket_of(c) == bucket; });
}

/// The last candidate of the shortest prefix whose mass reaches `target`, which is at most that of
/// all. Halves the range that holds it by selection: nothing is sorted but a short rest.
Candidate last_of_prefix(std::span<Candidate> range, uint64_t target, const KeyedOrder& order) {
  constexpr size_t kShort = 64;
  const auto better = [&](const Candidate& a, const Candidate& b) { return order.better(a, b); };
  while (range.size() > kShort) {
    const size_t middle = range.size() / 2;
    std::nth_element(range.begin(), range.begin() + static_cast<ptrdiff_t>(middle), range.end(),
                     better);
    const uint64_t left = total_mass(range.first(middle));
    if (left >= target) {
      range = range.first(middle);
    } else {
      target -= left;
      range = range.subspan(middle);
    }
  }
  std::sort(range.begin(), range.end(), better);
  size_t last = 0;
  for (; last + 1 < range.size() && range[last].mass < target; ++last) target -= range[last].mass;
  return range[last];
}

/// Keeps the shortest prefix of at least `share` of the mass.
void keep_prefix(std::vector<Candidate>& candidates, double share, const KeyedOrder& order,
                 CandidateScratch& scratch) {
  // Below this many, buckets cost more than they save.
  constexpr size_t kFew = 2048;
  uint64_t target = kernels::wanted_mass(share, total_mass(candidates));
  scratch.candidates.clear();
  if (candidates.size() > kFew)
    select_bucket(candidates, order, target, scratch);
  else
    scratch.candidates.assign(candidates.begin(), candidates.end());
  const Candidate last = last_of_prefix(scratch.candidates, target, order);
  std::erase_if(candidates, [&](const Candidate& c) { return order.better(last, c); });
}

}  // namespace

uint64_t scale_to(uint64_t bits, uint64_t total) { return kernels::scaled_place(bits, total); }

void gather_all(std::span<const float> logits, float max, float temperature,
                std::vector<Candidate>& out) {
  out.clear();
  visit_masses(logits, max, temperature, [&](size_t i, uint64_t mass) {
    if (mass > 0) out.push_back({(logits[i] - max) / temperature, static_cast<int32_t>(i), mass});
  });
}

void gather_top_k(std::span<const float> logits, float max, float temperature, int32_t k,
                  std::vector<Candidate>& out, CandidateScratch& scratch) {
  HEARTH_CHECK(k > 0 && static_cast<size_t>(k) <= logits.size(), "top_k");
  const Candidate last = kth_largest(logits, static_cast<size_t>(k), scratch.candidates);
  out.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < last.logit) continue;
    if (logits[i] == last.logit && static_cast<int32_t>(i) > last.token) continue;
    const float logit = (logits[i] - max) / temperature;
    const uint64_t mass = mass_of(exp_nonpositive(logit));
    if (mass > 0) out.push_back({logit, static_cast<int32_t>(i), mass});
  }
}

void keep_typical(std::vector<Candidate>& candidates, double typical_p, CandidateScratch& scratch) {
  double weighted = 0.0;
  for (const Candidate& c : candidates) weighted += static_cast<double>(c.mass) * c.logit;
  const double mean = weighted / static_cast<double>(total_mass(candidates));
  const auto distance = [](const Candidate& c, float from) { return std::fabs(c.logit - from); };
  keep_prefix(candidates, typical_p, {distance, static_cast<float>(mean)}, scratch);
}

void keep_top_p(std::vector<Candidate>& candidates, double top_p, CandidateScratch& scratch) {
  const auto below_best = [](const Candidate& c, float) { return -c.logit; };
  keep_prefix(candidates, top_p, {below_best, 0.0F}, scratch);
}

void keep_min_p(std::vector<Candidate>& candidates, double min_p) {
  uint64_t largest = 0;
  for (const Candidate& c : candidates) largest = std::max(largest, c.mass);
  const double least = kernels::least_mass(min_p, largest);
  std::erase_if(candidates,
                [least](const Candidate& c) { return static_cast<double>(c.mass) < least; });
}

int32_t draw_candidate(std::span<const Candidate> candidates, uint64_t bits) {
  uint64_t place = scale_to(bits, total_mass(candidates));
  for (const Candidate& c : candidates) {
    if (place < c.mass) return c.token;
    place -= c.mass;
  }
  check_failed(__FILE__, __LINE__, "place < total", "the masses changed while drawing");
}

int32_t draw_from_all(std::span<const float> logits, float max, float temperature, uint64_t bits,
                      CandidateScratch& scratch) {
  auto& sums = scratch.masses;  // of chunks
  sums.assign(ceil_div(logits.size(), kChunk), 0);
  visit_masses(logits, max, temperature,
               [&](size_t i, uint64_t mass) { sums[i / kChunk] += mass; });
  uint64_t place = scale_to(bits, std::accumulate(sums.begin(), sums.end(), uint64_t{0}));
  size_t chunk = 0;
  while (place >= sums[chunk]) place -= sums[chunk++];
  const size_t begin = chunk * kChunk;
  int32_t token = -1;
  visit_masses(logits.subspan(begin, std::min(kChunk, logits.size() - begin)), max, temperature,
               [&](size_t i, uint64_t mass) {
                 if (token < 0 && place < mass) token = static_cast<int32_t>(begin + i);
                 if (token < 0) place -= mass;
               });
  HEARTH_CHECK(token >= 0, "the masses changed while drawing");
  return token;
}

}  // namespace hearth
