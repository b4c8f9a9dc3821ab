#include "engine/sampler/candidates.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/sampler/vector_math.h"
#include "tests/engine/sampler/support_reference.h"

namespace hearth {
namespace {

using reference::random_logits;

/// The candidates that our filters leave, in the order that Sampler applies them.
std::vector<Candidate> filter(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<Candidate> out;
  CandidateScratch scratch;
  const float max = max_of(logits);
  if (params.top_k > 0)
    gather_top_k(logits, max, params.temperature, params.top_k, out, scratch);
  else
    gather_all(logits, max, params.temperature, out);
  if (params.typical_p < 1) keep_typical(out, params.typical_p, scratch);
  if (params.top_p < 1) keep_top_p(out, params.top_p, scratch);
  if (params.min_p > 0) keep_min_p(out, params.min_p);
  return out;
}

/// Compares ids and probabilities. Returns false where rounding may rightly move a border: the
/// caller counts these, they must be rare.
bool same(const std::vector<Candidate>& ours, const std::vector<reference::Token>& expected) {
  if (ours.size() != expected.size()) return false;
  double total = 0;
  for (const Candidate& c : ours) total += static_cast<double>(c.mass);
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i].token != expected[i].id) return false;
    const double p = static_cast<double>(ours[i].mass) / total;
    if (std::fabs(p - expected[i].p) > 1e-6 * expected[i].p + 1e-12) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("exp_nonpositive is exact at 0, 0 far below, and near exp between") {
  CHECK(exp_nonpositive(0.0F) == 1.0F);
  CHECK(exp_nonpositive(-87.1F) == 0.0F);
  CHECK(exp_nonpositive(-std::numeric_limits<float>::infinity()) == 0.0F);
  double worst = 0;
  for (float x = 0.0F; x > -86.9F; x -= 0.000977F) {
    const double expected = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::fabs(exp_nonpositive(x) - expected) / expected);
  }
  INFO("worst relative error ", worst);
  CHECK(worst < 2e-7);
}

TEST_CASE("max_of finds the largest wherever it lies") {
  for (size_t size : {1, 15, 16, 17, 100}) {
    for (size_t at = 0; at < size; ++at) {
      std::vector<float> values(size, -5.0F);
      values[at] = -1.0F;
      CHECK(max_of(values) == -1.0F);
    }
  }
  CHECK(max_of({}) == -std::numeric_limits<float>::infinity());
}

TEST_CASE("every filter and all together agree with full sorts in double") {
  std::vector<SamplingParams> cases;
  for (const float temperature : {0.3F, 1.0F, 1.7F})
    for (const int32_t top_k : {0, 1, 7, 40, 3000})
      for (const float typical_p : {1.0F, 0.3F, 0.95F})
        for (const float top_p : {1.0F, 0.1F, 0.6F, 0.95F, 0.9999F})
          for (const float min_p : {0.0F, 0.02F, 1.0F}) {
            SamplingParams params;
            params.temperature = temperature;
            params.top_k = top_k;
            params.typical_p = typical_p;
            params.top_p = top_p;
            params.min_p = min_p;
            cases.push_back(params);
          }
  size_t moved_borders = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<float> logits = random_logits(static_cast<uint32_t>(i), 4000);
    if (!same(filter(logits, cases[i]), reference::distribution(logits, cases[i]))) {
      ++moved_borders;
      MESSAGE("differs: T ", cases[i].temperature, " k ", cases[i].top_k, " typical ",
              cases[i].typical_p, " top_p ", cases[i].top_p, " min_p ", cases[i].min_p);
    }
  }
  // A cumulative sum may reach a share within float rounding; a wrong filter differs everywhere.
  CHECK(cases.size() == 675);
  CHECK(moved_borders <= cases.size() / 100);
}

TEST_CASE("top_k keeps lower ids of equal logits, by heap and by selection") {
  for (const int32_t k : {3, 2000}) {
    std::vector<float> logits(5000, 1.0F);
    logits[4999] = 2.0F;
    std::vector<Candidate> out;
    CandidateScratch scratch;
    gather_top_k(logits, 2.0F, 1.0F, k, out, scratch);
    REQUIRE(out.size() == static_cast<size_t>(k));
    CHECK(out.back().token == 4999);
    CHECK(out[out.size() - 2].token == k - 2);
  }
}

TEST_CASE("filters never leave nothing") {
  const std::vector<float> logits = random_logits(5, 100);
  SamplingParams params;
  params.top_p = 0.0F;
  CHECK(filter(logits, params).size() == 1);
  params.top_p = 1.0F;
  params.typical_p = 1e-9F;
  CHECK(filter(logits, params).size() == 1);
  params.typical_p = 1.0F;
  params.min_p = 1.0F;
  CHECK(filter(logits, params).size() == 1);
}

TEST_CASE("a draw maps places on the line of masses to tokens") {
  const std::vector<Candidate> candidates = {{0, 3, 1}, {0, 8, 2}, {0, 9, 1}};
  constexpr uint64_t kQuarter = 1ULL << 62;
  CHECK(draw_candidate(candidates, 0) == 3);
  CHECK(draw_candidate(candidates, kQuarter - 1) == 3);
  CHECK(draw_candidate(candidates, kQuarter) == 8);
  CHECK(draw_candidate(candidates, 3 * kQuarter - 1) == 8);
  CHECK(draw_candidate(candidates, 3 * kQuarter) == 9);
  CHECK(draw_candidate(candidates, UINT64_MAX) == 9);
}

TEST_CASE("drawing from all tokens equals drawing from all as candidates") {
  const std::vector<float> logits = random_logits(9, 5000);
  const float max = max_of(logits);
  std::vector<Candidate> all;
  CandidateScratch scratch;
  gather_all(logits, max, 0.8F, all);
  for (uint64_t i = 0; i < 300; ++i) {
    const uint64_t bits = i * 0x9E3779B97F4A7C15U;
    CHECK(draw_from_all(logits, max, 0.8F, bits, scratch) == draw_candidate(all, bits));
  }
  CHECK(draw_from_all(logits, max, 0.8F, UINT64_MAX, scratch) == draw_candidate(all, UINT64_MAX));
}

}  // namespace hearth
