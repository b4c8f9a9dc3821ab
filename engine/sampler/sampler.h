#pragma once
// From logits to the next token of one choice. The page to read first in engine/sampler.
//
// Order of operations:
//   1. NaN becomes -inf, +inf the largest float: a defined answer for damaged weights.
//   2. Log-probabilities, if asked for, are log-softmax of these, the model's own logits, before
//      anything a request does to them: they say what the model thinks, whatever the settings.
//   3. logit_bias is added.
//   4. repetition_penalty p (Keskar et al. 2019), once per distinct token of prompt and output: a
//      positive logit is divided by p, others are multiplied by p.
//   5. presence_penalty once, frequency_penalty times its count, subtracted per output token.
//   6. temperature 0: the largest logit, ties to the lowest id; nothing below applies.
//      Else probabilities are softmax(logits / temperature).
//   7. top_k: the k likeliest, ties to lower ids.
//   8. typical_p (Meister et al. 2022): the fewest tokens whose information is nearest to the
//      entropy and whose mass reaches typical_p.
//   9. top_p (Holtzman et al. 2019): the fewest likeliest tokens whose mass reaches top_p.
//  10. min_p (Nguyen et al. 2024): those at least min_p times as likely as the likeliest left.
//  11. One draw with sampling_bits(seed, choice, position) over what is left, in order of ids.
// Filters 8 to 10 see the probabilities of what the filters before them left, renormalized.
//
// Masses are integers (units of 2^-44 of the likeliest token's): sums are exact, so a draw depends
// on nothing but logits, parameters, position and the accepted tokens.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/request.h"
#include "engine/sampler/candidates.h"
#include "engine/sampler/logprobs.h"
#include "engine/sampler/sampling_params.h"
#include "kernels/sampling/sampling.h"

namespace hearth {

/// Fields as in TokenEvent.
struct SampledToken {
  int32_t token = 0;
  float logprob = 0.0F;                    // set if num_logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;  // num_logprobs of them, fewer if others are impossible

  friend bool operator==(const SampledToken&, const SampledToken&) = default;
};

/// What a draw gives if no logit is above -inf.
std::unexpected<Error> unusable_logits();

/// Scratch memory of sampling, to be reused for any number of samplers by one thread at a time.
/// Nothing in it outlives a call. Without top_k it grows to 32 bytes per vocabulary entry at most.
class SamplerWorkspace {
 public:
  struct TokenLogit {
    int32_t token;
    float logit;
  };

 private:
  friend class Sampler;
  std::vector<Candidate> candidates_;  // what the filters have left, in order of ids
  CandidateScratch scratch_;
  std::vector<TokenLogit> saved_;  // the model's logits of tokens with a bias or a penalty
};

/// Sampling state of one choice: penalties' counts. Everything else is a pure function, so a
/// choice is rebuilt after a failover by construction and accept() of the delivered tokens.
class Sampler {
 public:
  /// `prompt` is read here only. Token ids (prompt, logit_bias) must be in [0, vocab_size) and
  /// parameters in their ranges: that is checked where requests enter, broken ids are our mistake.
  Sampler(SamplingParams params, std::span<const int32_t> prompt, int32_t choice,
          int32_t vocab_size);

  /// The token of output position `position` (from 0, delivered ones included). `logits` is
  /// [vocab_size] f32; it serves as scratch and is left as the model's logits, sanitized. Does not
  /// accept the token. kInternal if no logit is above -inf: the model computed nothing usable.
  Result<SampledToken> sample(std::span<float> logits, int64_t position,
                              SamplerWorkspace& workspace) const;

  /// Counts `token` as output for the penalties.
  void accept(int32_t token);

  [[nodiscard]] const SamplingParams& params() const { return params_; }
  [[nodiscard]] int32_t vocab_size() const { return vocab_size_; }

  // What a sampler elsewhere must know besides (engine/sampler/device_sampler.h).

  /// The bits of the draw of a position.
  [[nodiscard]] uint64_t bits(int64_t position) const;
  /// Ordered by token; those of one token in the request's order.
  [[nodiscard]] std::span<const kernels::TokenBias> biases() const { return biases_; }
  /// Tokens with a penalty, each once. accept() changes one or adds one at the end.
  [[nodiscard]] std::span<const kernels::TokenCount> counts() const { return counts_; }
  /// Index of the count that accept() changed last.
  [[nodiscard]] int32_t changed_count() const { return changed_count_; }
  /// Tokens that accept() was given so far.
  [[nodiscard]] int64_t accepted() const { return accepted_; }

 private:
  using TokenLogit = SamplerWorkspace::TokenLogit;

  kernels::TokenCount& count_of(int32_t token);
  void apply_bias_and_penalties(std::span<float> logits, std::vector<TokenLogit>& saved) const;
  [[nodiscard]] bool has_filter() const;
  int32_t choose(std::span<const float> logits, int64_t position,
                 SamplerWorkspace& workspace) const;
  int32_t draw_filtered(std::span<const float> logits, float max, uint64_t bits,
                        SamplerWorkspace& workspace) const;

  SamplingParams params_;
  int32_t choice_ = 0;
  int32_t vocab_size_ = 0;
  std::vector<kernels::TokenBias> biases_;
  std::vector<kernels::TokenCount> counts_;              // kept only for penalties
  std::unordered_map<int32_t, int32_t> index_of_token_;  // into counts_
  int32_t changed_count_ = -1;
  int64_t accepted_ = 0;
};

}  // namespace hearth
