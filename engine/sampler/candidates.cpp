#include "engine/sampler/candidates.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/sampler/vector_math.h"

namespace hearth {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr float kMassOne = 0x1p44F;
// Most draws look at sums of chunks and at one chunk's tokens.
constexpr size_t kChunkTokens = 1024;
// Up to here a heap beats selecting from a copy of the whole vocabulary.
constexpr int32_t kHeapTopK = 1024;

bool likelier(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

float scaled(float logit, float max, float temperature) { return (logit - max) / temperature; }

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

/// The last candidate, in the order of `better`, of the shortest prefix whose mass reaches
/// `target`. Halves the range that holds it by selection, so nothing is sorted but a short rest.
template <typename Better>
Candidate last_of_prefix(std::vector<Candidate>& scratch, uint64_t target, Better better) {
  constexpr ptrdiff_t kShort = 64;
  auto begin = scratch.begin();
  auto end = scratch.end();
  while (end - begin > kShort) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, better);
    const uint64_t left = total_mass({begin, middle});
    if (left >= target) {
      end = middle;
    } else {
      target -= left;
      begin = middle;
    }
  }
  std::sort(begin, end, better);
  for (; begin + 1 < end; ++begin) {
    if (begin->mass >= target) break;
    target -= begin->mass;
  }
  return *begin;
}

/// Keeps the shortest prefix, in the order of `better`, of at least `share` of the mass.
template <typename Better>
void keep_prefix(std::vector<Candidate>& candidates, double share, std::vector<Candidate>& scratch,
                 Better better) {
  const uint64_t total = total_mass(candidates);
  const double wanted = std::ceil(share * static_cast<double>(total));
  // A total above 2^53 is rounded; the share never asks for more than there is, nor for nothing.
  const uint64_t target = wanted >= static_cast<double>(total)
                              ? total
                              : std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  scratch.assign(candidates.begin(), candidates.end());
  const Candidate last = last_of_prefix(scratch, target, better);
  std::erase_if(candidates, [&](const Candidate& c) { return better(last, c); });
}

}  // namespace

uint64_t mass_of(float logit) { return static_cast<uint64_t>(exp_nonpositive(logit) * kMassOne); }

uint64_t scale_to(uint64_t bits, uint64_t total) {
  return static_cast<uint64_t>(static_cast<Uint128>(bits) * total >> 64);
}

void gather_all(std::span<const float> logits, float max, float temperature,
                std::vector<Candidate>& out) {
  out.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = scaled(logits[i], max, temperature);
    const uint64_t mass = mass_of(logit);
    if (mass > 0) out.push_back({logit, static_cast<int32_t>(i), mass});
  }
}

void gather_top_k(std::span<const float> logits, float max, float temperature, int32_t k,
                  std::vector<Candidate>& out, std::vector<Candidate>& scratch) {
  HEARTH_CHECK(k > 0 && static_cast<size_t>(k) <= logits.size(), "top_k");
  const Candidate last = kth_largest(logits, static_cast<size_t>(k), scratch);
  out.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < last.logit) continue;
    if (logits[i] == last.logit && static_cast<int32_t>(i) > last.token) continue;
    const float logit = scaled(logits[i], max, temperature);
    const uint64_t mass = mass_of(logit);
    if (mass > 0) out.push_back({logit, static_cast<int32_t>(i), mass});
  }
}

void keep_typical(std::vector<Candidate>& candidates, double typical_p,
                  std::vector<Candidate>& scratch) {
  double weighted = 0.0;
  for (const Candidate& c : candidates) weighted += static_cast<double>(c.mass) * c.logit;
  const double mean = weighted / static_cast<double>(total_mass(candidates));
  keep_prefix(candidates, typical_p, scratch, [mean](const Candidate& a, const Candidate& b) {
    const double distance_a = std::fabs(a.logit - mean);
    const double distance_b = std::fabs(b.logit - mean);
    return distance_a < distance_b || (distance_a == distance_b && a.token < b.token);
  });
}

void keep_top_p(std::vector<Candidate>& candidates, double top_p, std::vector<Candidate>& scratch) {
  keep_prefix(candidates, top_p, scratch, likelier);
}

void keep_min_p(std::vector<Candidate>& candidates, double min_p) {
  uint64_t largest = 0;
  for (const Candidate& c : candidates) largest = std::max(largest, c.mass);
  const double least = std::min(min_p, 1.0) * static_cast<double>(largest);
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
                      std::vector<uint64_t>& chunk_masses) {
  const auto chunk_at = [&](size_t begin) {
    return logits.subspan(begin, std::min(kChunkTokens, logits.size() - begin));
  };
  chunk_masses.clear();
  uint64_t total = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kChunkTokens) {
    uint64_t sum = 0;
    for (const float logit : chunk_at(begin)) sum += mass_of(scaled(logit, max, temperature));
    chunk_masses.push_back(sum);
    total += sum;
  }
  uint64_t place = scale_to(bits, total);
  size_t chunk = 0;
  while (place >= chunk_masses[chunk]) place -= chunk_masses[chunk++];
  size_t token = chunk * kChunkTokens;
  for (const float logit : chunk_at(token)) {
    const uint64_t mass = mass_of(scaled(logit, max, temperature));
    if (place < mass) return static_cast<int32_t>(token);
    place -= mass;
    ++token;
  }
  check_failed(__FILE__, __LINE__, "place < total", "the masses changed while drawing");
}

}  // namespace hearth
