#include "engine/sampler/sampler.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/sampler/vector_math.h"
#include "tests/engine/sampler/support_reference.h"

namespace hearth {
namespace {

using reference::random_logits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SampledToken sample(const SamplingParams& params, std::vector<float> logits, int64_t position = 0,
                    std::vector<int32_t> prompt = {}, std::vector<int32_t> output = {},
                    int32_t choice = 0) {
  Sampler sampler(params, prompt, choice, static_cast<int32_t>(logits.size()));
  for (const int32_t token : output) sampler.accept(token);
  SamplerWorkspace workspace;
  auto result = sampler.sample(logits, position, workspace);
  REQUIRE(result.has_value());
  return *result;
}

SamplingParams greedy() {
  SamplingParams params;
  params.temperature = 0.0F;
  return params;
}

/// Pearson's statistic of `draws` samples against the reference, over tokens expected at least five
/// times; the rest is one cell.
double chi_square(const SamplingParams& params, const std::vector<float>& logits, int draws,
                  int& degrees) {
  std::vector<int> counts(logits.size());
  const Sampler sampler(params, {}, 0, static_cast<int32_t>(logits.size()));
  SamplerWorkspace workspace;
  std::vector<float> scratch = logits;
  for (int i = 0; i < draws; ++i)
    ++counts[static_cast<size_t>(sampler.sample(scratch, i, workspace)->token)];
  double statistic = 0;
  double rest_expected = 0;
  double rest_count = draws;
  degrees = 0;
  int accounted = 0;
  for (const auto& token : reference::distribution(logits, params)) {
    const double expected = token.p * draws;
    const int count = counts[static_cast<size_t>(token.id)];
    accounted += count;
    if (expected < 5) {
      rest_expected += expected;
      continue;
    }
    rest_count -= count;
    statistic += (count - expected) * (count - expected) / expected;
    ++degrees;
  }
  CHECK(accounted == draws);  // nothing outside the kept set was ever drawn
  if (rest_expected >= 5)
    statistic += (rest_count - rest_expected) * (rest_count - rest_expected) / rest_expected;
  else
    --degrees;
  return statistic;
}

}  // namespace

TEST_CASE("greedy takes the largest logit, ties to the lowest id") {
  CHECK(sample(greedy(), {1, 5, 3, 5}).token == 1);
  CHECK(sample(greedy(), {-1, -5, -0.5F}).token == 2);
}

TEST_CASE("NaN, infinities and nothing at all have defined outcomes") {
  CHECK(sample(greedy(), {kNan, 1, 2}).token == 2);
  CHECK(sample(greedy(), {3, kInfinity, kInfinity}).token == 1);
  SamplingParams params;
  params.num_logprobs = 3;
  const SampledToken only = sample(params, {-kInfinity, 1, kNan});
  CHECK(only.token == 1);
  CHECK(only.logprob == doctest::Approx(0.0));
  CHECK(only.top_logprobs.size() == 1);  // impossible tokens are not among the likeliest
  CHECK(sample(params, {kInfinity, 1, -kInfinity}).token == 0);
  for (const SamplingParams& p : {params, greedy()}) {
    Sampler sampler(p, {}, 0, 3);
    SamplerWorkspace workspace;
    std::vector<float> logits = {kNan, -kInfinity, kNan};
    const auto result = sampler.sample(logits, 0, workspace);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == ErrorCode::kInternal);
  }
}

TEST_CASE("extreme settings stay finite and choose something possible") {
  SamplingParams params;
  params.temperature = 1e-30F;
  CHECK(sample(params, {1, 2, 1.9999F}).token == 1);
  params = {};
  params.repetition_penalty = 1e-3F;
  params.logit_bias = {{0, 100.0F}};
  const float largest = std::numeric_limits<float>::max();
  CHECK(sample(params, {largest, -largest, -kInfinity}, 0, {0, 1, 2}).token == 0);
  params.repetition_penalty = 1e3F;
  params.logit_bias = {};
  CHECK(sample(params, {-largest, -kInfinity}, 0, {0, 1}).token == 0);
}

TEST_CASE("logit_bias, repetition, presence and frequency change what greedy takes") {
  SamplingParams params = greedy();
  params.logit_bias = {{0, 4.5F}};
  CHECK(sample(params, {1, 5, 3}).token == 0);
  params.logit_bias = {{1, -100.0F}};
  CHECK(sample(params, {1, 5, 3}).token == 2);

  params = greedy();
  params.repetition_penalty = 2.0F;  // 5 -> 2.5 for a token of the prompt; -1 -> -2
  CHECK(sample(params, {1, 5, 3}).token == 1);
  CHECK(sample(params, {1, 5, 3}, 0, {1}).token == 2);
  CHECK(sample(params, {1, 5, 3}, 0, {}, {1}).token == 2);
  CHECK(sample(params, {1, 5, 2.6F}, 0, {1, 1, 1}, {1}).token == 2);  // once, however often it came
  CHECK(sample(params, {-1.5F, -1}, 0, {1}).token == 0);

  params = greedy();
  params.presence_penalty = 1.5F;  // not for the prompt, and once
  CHECK(sample(params, {1, 5, 3.6F}, 0, {1}).token == 1);
  CHECK(sample(params, {1, 5, 3.6F}, 0, {}, {1}).token == 2);
  CHECK(sample(params, {1, 5, 3.4F}, 0, {}, {1, 1, 1}).token == 1);

  params = greedy();
  params.frequency_penalty = 0.5F;
  CHECK(sample(params, {1, 5, 3.6F}, 0, {}, {1, 1}).token == 1);
  CHECK(sample(params, {1, 5, 3.6F}, 0, {}, {1, 1, 1}).token == 2);
  params.frequency_penalty = -2.0F;
  CHECK(sample(params, {1, 5, 3.6F}, 0, {}, {0, 0, 0}).token == 0);
}

TEST_CASE("log-probabilities are those of the model's own logits") {
  const std::vector<float> logits = random_logits(3, 10000);
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  const auto expected = [&](int32_t token) {
    return logits[static_cast<size_t>(token)] - std::log(sum);
  };
  SamplingParams params;
  params.num_logprobs = 20;
  params.temperature = 0.5F;
  params.top_k = 50;
  params.logit_bias = {{17, 30.0F}, {17, 5.0F}};
  params.repetition_penalty = 1.3F;
  const SampledToken token = sample(params, logits, 0, {17, 18, 19});
  CHECK(token.token == 17);
  CHECK(token.logprob == doctest::Approx(expected(17)).epsilon(1e-6));
  REQUIRE(token.top_logprobs.size() == 20);
  for (size_t i = 0; i < 20; ++i) {
    const TokenLogprob& top = token.top_logprobs[i];
    CHECK(top.logprob == doctest::Approx(expected(top.token)).epsilon(1e-6));
    if (i > 0) CHECK(top.logprob <= token.top_logprobs[i - 1].logprob);
    // As many tokens are likelier as stand before it.
    CHECK(std::ranges::count_if(logits, [&](float x) {
            return x > logits[static_cast<size_t>(top.token)];
          }) == static_cast<ptrdiff_t>(i));
  }
  params.num_logprobs = 0;
  CHECK(sample(params, logits).top_logprobs.empty());
  CHECK(sample(params, logits).logprob < 0.0F);
  CHECK(
      compute_logprobs(std::vector<float>{2, 2, 2}, 0, 2).top ==
      std::vector<TokenLogprob>{{0, compute_logprobs(std::vector<float>{2, 2, 2}, 0, 0).logprob},
                                {1, compute_logprobs(std::vector<float>{2, 2, 2}, 0, 0).logprob}});
}

TEST_CASE("sample leaves the model's logits as they were") {
  SamplingParams params;
  params.logit_bias = {{1, 3.0F}, {1, 4.0F}};
  params.presence_penalty = 1.0F;
  params.num_logprobs = 2;
  const std::vector<float> logits = random_logits(4, 100);
  std::vector<float> copy = logits;
  Sampler sampler(params, {}, 0, 100);
  sampler.accept(1);
  SamplerWorkspace workspace;
  REQUIRE(sampler.sample(copy, 0, workspace).has_value());
  CHECK(copy == logits);
}

TEST_CASE("frequencies of draws follow the probabilities") {
  const std::vector<float> logits = random_logits(11, 300);
  std::vector<SamplingParams> cases(6);
  cases[1].temperature = 0.6F;
  cases[2].top_k = 12;
  cases[3].top_p = 0.8F;
  cases[4].min_p = 0.05F;
  cases[5].typical_p = 0.7F;
  for (SamplingParams& params : cases) {
    for (const uint64_t seed : {1ULL, 0xDEADBEEFCAFEULL}) {
      params.seed = seed;
      int degrees = 0;
      const double statistic = chi_square(params, logits, 20000, degrees);
      // Mean n, standard deviation sqrt(2 n): five of them beyond the mean never happen by chance.
      // Seeds are fixed, so the outcome is, too.
      CAPTURE(statistic);
      CAPTURE(degrees);
      CHECK(degrees > 1);
      CHECK(statistic < degrees + 5 * std::sqrt(2.0 * degrees));
    }
  }
}

TEST_CASE("seed, choice and position alone decide a draw") {
  const std::vector<float> logits = random_logits(12, 1000);
  SamplingParams params;
  params.seed = 42;
  const auto run = [&](const SamplingParams& p, int32_t choice) {
    std::vector<int32_t> out;
    for (int64_t i = 0; i < 50; ++i) out.push_back(sample(p, logits, i, {}, {}, choice).token);
    return out;
  };
  const auto base = run(params, 0);
  CHECK(base == run(params, 0));
  CHECK(base != run(params, 1));
  params.seed = 43;
  CHECK(base != run(params, 0));
}

TEST_CASE("a sampler rebuilt from delivered tokens goes on with the same tokens") {
  SamplingParams params;
  params.seed = 5;
  params.top_p = 0.95F;
  params.repetition_penalty = 1.2F;
  params.presence_penalty = 0.5F;
  params.frequency_penalty = 0.4F;
  params.num_logprobs = 3;
  const std::vector<int32_t> prompt = {1, 2, 3, 2};
  constexpr int32_t kVocab = 60;  // small, so that penalties matter
  // A stand-in for a model: logits depend on the position.
  const auto logits_at = [](int64_t i) { return random_logits(static_cast<uint32_t>(i), kVocab); };
  std::vector<SampledToken> whole;
  Sampler first(params, prompt, 2, kVocab);
  SamplerWorkspace workspace;
  for (int64_t i = 0; i < 40; ++i) {
    auto logits = logits_at(i);
    whole.push_back(*first.sample(logits, i, workspace));
    first.accept(whole.back().token);
  }
  for (const size_t delivered : {0U, 1U, 17U, 39U}) {
    Sampler rebuilt(params, prompt, 2, kVocab);
    for (size_t i = 0; i < delivered; ++i) rebuilt.accept(whole[i].token);
    SamplerWorkspace other_workspace;
    for (size_t i = delivered; i < whole.size(); ++i) {
      auto logits = logits_at(static_cast<int64_t>(i));
      const SampledToken token = *rebuilt.sample(logits, static_cast<int64_t>(i), other_workspace);
      CHECK(token == whole[i]);
      rebuilt.accept(token.token);
    }
  }
}

}  // namespace hearth
