#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/sampling/sampling.h"
#include "kernels/sampling/sampling_math.h"

namespace hearth::kernels {
namespace {

struct Candidate {
  float logit;   // as biases and penalties left it
  float scaled;  // (logit - largest) / temperature
  int32_t token;
  uint64_t mass;
};

uint64_t total_mass(const std::vector<Candidate>& candidates) {
  uint64_t sum = 0;
  for (const Candidate& c : candidates) sum += c.mass;
  return sum;
}

/// Keeps the shortest prefix, in order of (key, token), whose weights reach `target`. Order of ids
/// is kept.
template <typename Key, typename Weight>
void keep_prefix(std::vector<Candidate>& candidates, uint64_t target, Key key, Weight weight) {
  std::ranges::sort(candidates, {}, [&](const Candidate& c) { return std::pair(key(c), c.token); });
  size_t count = 0;
  for (uint64_t sum = 0; count < candidates.size() && sum < target; ++count)
    sum += weight(candidates[count]);
  candidates.resize(count);
  std::ranges::sort(candidates, {}, &Candidate::token);
}

std::vector<float> changed_logits(const SampleArgs& args, const SampleRow& row,
                                  const std::vector<float>& logits) {
  std::vector<float> changed = logits;
  const TokenBias* biases = args.biases + int64_t{row.slot} * kSampleMostBiases;
  for (int32_t i = 0; i < row.num_biases; ++i) {
    float& logit = changed[static_cast<size_t>(biases[i].token)];
    logit = with_bias(logit, biases[i].bias);
  }
  TokenCount* counts = args.counts + int64_t{row.slot} * kSampleMostCounts;
  if (row.changed >= 0) counts[row.changed] = row.change;
  for (int32_t i = 0; i < row.num_counts; ++i) {
    float& logit = changed[static_cast<size_t>(counts[i].token)];
    logit = with_penalties(logit, counts[i].count, row.repetition_penalty, row.presence_penalty,
                           row.frequency_penalty);
  }
  return changed;
}

int32_t draw(const SampleRow& row, const std::vector<float>& logits, float max) {
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float scaled = (logits[i] - max) / row.temperature;
    candidates.push_back(
        {logits[i], scaled, static_cast<int32_t>(i), mass_of(exp_nonpositive(scaled))});
  }
  const auto mass = [](const Candidate& c) { return c.mass; };
  if (row.top_k > 0)
    keep_prefix(
        candidates, static_cast<uint64_t>(row.top_k), [](const Candidate& c) { return -c.logit; },
        [](const Candidate&) { return uint64_t{1}; });
  std::erase_if(candidates, [](const Candidate& c) { return c.mass == 0; });
  if (row.typical_p < 1.0F) {
    double weighted = 0.0;
    for (const Candidate& c : candidates) weighted += static_cast<double>(c.mass) * c.scaled;
    const uint64_t total = total_mass(candidates);
    const auto mean = static_cast<float>(weighted / static_cast<double>(total));
    keep_prefix(
        candidates, wanted_mass(row.typical_p, total),
        [mean](const Candidate& c) { return std::fabs(c.scaled - mean); }, mass);
  }
  if (row.top_p < 1.0F)
    keep_prefix(
        candidates, wanted_mass(row.top_p, total_mass(candidates)),
        [](const Candidate& c) { return -c.scaled; }, mass);
  if (row.min_p > 0.0F) {
    const double least = least_mass(row.min_p, std::ranges::max(candidates, {}, mass).mass);
    std::erase_if(candidates,
                  [least](const Candidate& c) { return static_cast<double>(c.mass) < least; });
  }
  uint64_t place = scaled_place(row.bits, total_mass(candidates));
  size_t chosen = 0;
  while (place >= candidates[chosen].mass) place -= candidates[chosen++].mass;
  return candidates[chosen].token;
}

/// In the order of sums that the contract fixes: lanes within chunks, then lane after lane.
double exp_sum(const std::vector<float>& logits, float max) {
  double total = 0.0;
  for (size_t begin = 0; begin < logits.size(); begin += kSampleChunk) {
    std::array<float, kSampleLanes> lanes{};
    for (size_t i = begin; i < std::min(begin + kSampleChunk, logits.size()); ++i)
      lanes[(i - begin) % kSampleLanes] += exp_nonpositive(logits[i] - max);
    for (const float lane : lanes) total += lane;
  }
  return total;
}

void note_logprobs(const SampleArgs& args, int32_t r, const std::vector<float>& logits) {
  SampleResult& result = args.result[r];
  result.logit = logits[static_cast<size_t>(result.token)];
  result.max = std::ranges::max(logits);
  result.exp_sum = exp_sum(logits, result.max);
  std::vector<TopLogit> all;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -INFINITY) all.push_back({static_cast<int32_t>(i), logits[i]});
  std::ranges::sort(all, {}, [](const TopLogit& t) { return std::pair(-t.logit, t.token); });
  result.num_top = std::min(args.row[r].num_top, static_cast<int32_t>(all.size()));
  std::copy_n(all.begin(), result.num_top, args.top + int64_t{r} * kSampleMostTop);
}

}  // namespace

void sample_ref(const ExecContext&, const SampleArgs& args) {
  for (int32_t r = 0; r < args.rows; ++r) {
    const SampleRow& row = args.row[r];
    if (row.mode == SampleMode::kNone) continue;
    const float* begin = args.logits + int64_t{row.logit_row} * args.vocab_size;
    std::vector<float> logits(begin, begin + args.vocab_size);
    for (float& logit : logits) logit = sanitized(logit);
    const std::vector<float> changed = changed_logits(args, row, logits);
    const auto best = std::ranges::max_element(changed);  // the first of equal ones
    SampleResult& result = args.result[r];
    if (*best == -INFINITY) {
      result.token = -1;
      continue;
    }
    result.token = row.mode == SampleMode::kGreedy ? static_cast<int32_t>(best - changed.begin())
                                                   : draw(row, changed, *best);
    if (row.num_top >= 0) note_logprobs(args, r, logits);
  }
}

}  // namespace hearth::kernels
