#include "engine/sampler/sampler.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/check.h"
#include "engine/sampler/philox.h"
#include "engine/sampler/vector_math.h"
#include "kernels/sampling/sampling_math.h"

namespace hearth {

std::unexpected<Error> unusable_logits() {
  return fail(ErrorCode::kInternal,
              "logits: all of them are NaN or -inf, expected one finite value: the model's weights "
              "are damaged");
}

Sampler::Sampler(SamplingParams params, std::span<const int32_t> prompt, int32_t choice,
                 int32_t vocab_size)
    : params_(std::move(params)), choice_(choice), vocab_size_(vocab_size) {
  HEARTH_CHECK(vocab_size > 0 && vocab_size < kMaxSamplerVocab, "vocabulary size");
  HEARTH_CHECK(params_.temperature >= 0.0F && params_.repetition_penalty > 0.0F,
               "temperature and repetition_penalty");
  const auto in_vocab = [&](int32_t token) { return token >= 0 && token < vocab_size; };
  HEARTH_CHECK(std::ranges::all_of(params_.logit_bias,
                                   [&](const auto& bias) { return in_vocab(bias.first); }),
               "logit_bias token");
  HEARTH_CHECK(std::ranges::all_of(prompt, in_vocab), "prompt token");
  for (const auto& [token, bias] : params_.logit_bias)
    biases_.insert(std::ranges::upper_bound(biases_, token, {}, &kernels::TokenBias::token),
                   {token, bias});
  if (params_.repetition_penalty != 1.0F)
    for (const int32_t token : prompt) count_of(token);
}

/// The count of a token, 0 if it had none; changed_count_ is its index.
kernels::TokenCount& Sampler::count_of(int32_t token) {
  const auto [it, is_new] =
      index_of_token_.try_emplace(token, static_cast<int32_t>(counts_.size()));
  if (is_new) counts_.push_back({token, 0});
  changed_count_ = it->second;
  return counts_[static_cast<size_t>(changed_count_)];
}

void Sampler::accept(int32_t token) {
  HEARTH_CHECK(token >= 0 && token < vocab_size_, "token id");
  ++accepted_;
  const bool penalized = params_.repetition_penalty != 1.0F || params_.presence_penalty != 0.0F ||
                         params_.frequency_penalty != 0.0F;
  if (penalized) ++count_of(token).count;
}

void Sampler::apply_bias_and_penalties(std::span<float> logits,
                                       std::vector<TokenLogit>& saved) const {
  saved.clear();
  const auto change = [&](int32_t token, auto changed) {
    float& logit = logits[static_cast<size_t>(token)];
    saved.push_back({token, logit});
    logit = changed(logit);
  };
  for (const auto& [token, bias] : biases_)
    change(token, [&](float logit) { return kernels::with_bias(logit, bias); });
  // Each token's logit changes by its own count alone, so their order does not matter.
  for (const auto& [token, count] : counts_) {
    change(token, [&](float logit) {
      return kernels::with_penalties(logit, count, params_.repetition_penalty,
                                     params_.presence_penalty, params_.frequency_penalty);
    });
  }
}

uint64_t Sampler::bits(int64_t position) const {
  return sampling_bits(params_.seed, static_cast<uint32_t>(choice_),
                       static_cast<uint64_t>(position));
}

int32_t Sampler::choose(std::span<const float> logits, int64_t position,
                        SamplerWorkspace& workspace) const {
  const float max = max_of(logits);
  if (params_.temperature == 0.0F) {
    const auto best = std::ranges::find(logits, max);
    return static_cast<int32_t>(best - logits.begin());
  }
  if (has_filter()) return draw_filtered(logits, max, bits(position), workspace);
  return draw_from_all(logits, max, params_.temperature, bits(position), workspace.scratch_);
}

bool Sampler::has_filter() const {
  return (params_.top_k > 0 && params_.top_k < vocab_size_) || params_.typical_p < 1.0F ||
         params_.top_p < 1.0F || params_.min_p > 0.0F;
}

int32_t Sampler::draw_filtered(std::span<const float> logits, float max, uint64_t bits,
                               SamplerWorkspace& workspace) const {
  auto& candidates = workspace.candidates_;
  auto& scratch = workspace.scratch_;
  const float temperature = params_.temperature;
  if (params_.top_k > 0 && params_.top_k < vocab_size_)
    gather_top_k(logits, max, temperature, params_.top_k, candidates, scratch);
  else
    gather_all(logits, max, temperature, candidates);
  if (params_.typical_p < 1.0F) keep_typical(candidates, params_.typical_p, scratch);
  if (params_.top_p < 1.0F) keep_top_p(candidates, params_.top_p, scratch);
  if (params_.min_p > 0.0F) keep_min_p(candidates, params_.min_p);
  return draw_candidate(candidates, bits);
}

Result<SampledToken> Sampler::sample(std::span<float> logits, int64_t position,
                                     SamplerWorkspace& workspace) const {
  HEARTH_CHECK(static_cast<int64_t>(logits.size()) == vocab_size_ && position >= 0,
               "logits of the vocabulary, position from 0");
  if (!sanitize_logits(logits)) return unusable_logits();
  SampledToken out;
  apply_bias_and_penalties(logits, workspace.saved_);
  out.token = choose(logits, position, workspace);
  for (const TokenLogit& saved : workspace.saved_ | std::views::reverse)
    logits[static_cast<size_t>(saved.token)] = saved.logit;
  if (params_.num_logprobs < 0) return out;
  Logprobs logprobs = compute_logprobs(logits, out.token, params_.num_logprobs);
  out.logprob = logprobs.logprob;
  out.top_logprobs = std::move(logprobs.top);
  return out;
}

}  // namespace hearth
