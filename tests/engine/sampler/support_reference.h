#pragma once
// A sampler as one would write it on a blackboard: doubles, full sorts, no tricks.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "engine/sampler/sampling_params.h"

namespace hearth::reference {

struct Token {
  int32_t id;
  double logit;
  double p;
};

inline std::vector<float> random_logits(uint32_t seed, size_t size, float std_dev = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, std_dev);
  std::vector<float> out(size);
  for (float& x : out) x = normal(random);
  return out;
}

inline void renormalize(std::vector<Token>& tokens) {
  double sum = 0;
  for (const Token& t : tokens) sum += t.p;
  for (Token& t : tokens) t.p /= sum;
}

/// Shortest prefix that reaches `share` of the mass.
inline void cut(std::vector<Token>& tokens, double share) {
  double sum = 0;
  size_t kept = 0;
  while (kept < tokens.size() && (kept == 0 || sum < share)) sum += tokens[kept++].p;
  tokens.resize(kept);
  renormalize(tokens);
}

inline bool likelier(const Token& a, const Token& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// What may be drawn and how likely each is, in order of ids; penalties and bias not included.
inline std::vector<Token> distribution(const std::vector<float>& logits,
                                       const SamplingParams& params) {
  std::vector<Token> tokens;
  const double max = *std::ranges::max_element(logits);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double x = (logits[i] - max) / params.temperature;
    tokens.push_back({static_cast<int32_t>(i), x, std::exp(x)});
  }
  renormalize(tokens);
  std::ranges::sort(tokens, likelier);
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < tokens.size()) {
    tokens.resize(static_cast<size_t>(params.top_k));
    renormalize(tokens);
  }
  if (params.typical_p < 1) {
    double entropy = 0;
    for (const Token& t : tokens) entropy -= t.p > 0 ? t.p * std::log(t.p) : 0;
    std::ranges::sort(tokens, {}, [&](const Token& t) {
      return std::pair(std::fabs(-std::log(t.p) - entropy), t.id);
    });
    cut(tokens, params.typical_p);
  }
  std::ranges::sort(tokens, likelier);
  if (params.top_p < 1) cut(tokens, params.top_p);
  const double least = params.min_p * tokens.front().p;
  std::erase_if(tokens, [&](const Token& t) { return t.p < least; });
  renormalize(tokens);
  std::ranges::sort(tokens, {}, &Token::id);
  return tokens;
}

}  // namespace hearth::reference
