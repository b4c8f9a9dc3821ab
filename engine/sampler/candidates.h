#pragma once
// Candidates of a draw, their integer masses, and the selections that truncate them. Sums of masses
// are exact and orders are total, so each result is one set, however it is computed.

#include <cstdint>
#include <span>
#include <vector>

namespace hearth {

/// A token that may be drawn. Mass 2^44 is the likeliest token's of the whole vocabulary; one below
/// 2^-44 of that has mass 0 and is never drawn.
struct Candidate {
  float logit;  // logits minus the largest, over temperature: at most 0
  int32_t token;
  uint64_t mass;
};

/// Vocabularies are smaller, so that the sum of all masses fits 64 bits.
constexpr int32_t kMaxSamplerVocab = 1 << 20;

/// Memory of the functions below between calls; its contents mean nothing.
struct CandidateScratch {
  std::vector<Candidate> candidates;
  std::vector<uint64_t> masses;
};

/// Bits scaled to [0, total): the place of a draw on the line of masses. total > 0.
uint64_t scale_to(uint64_t bits, uint64_t total);

/// All tokens of mass > 0, in order of ids. logits is [vocab_size], `max` the largest of them.
void gather_all(std::span<const float> logits, float max, float temperature,
                std::vector<Candidate>& out);

/// The `k` > 0 tokens of largest logit, ties to lower ids, without those of mass 0, in order of
/// ids.
void gather_top_k(std::span<const float> logits, float max, float temperature, int32_t k,
                  std::vector<Candidate>& out, CandidateScratch& scratch);

// Truncations, in place. Order of ids is kept; at least one candidate stays.

/// The fewest candidates nearest to the entropy whose mass reaches `typical_p` of the total
/// (Meister et al. 2022). Since information is (log of the sum) - logit, its distance from the
/// entropy is the distance of the logit from the mean logit.
void keep_typical(std::vector<Candidate>& candidates, double typical_p, CandidateScratch& scratch);

/// The fewest likeliest candidates whose mass reaches `top_p` of the total.
void keep_top_p(std::vector<Candidate>& candidates, double top_p, CandidateScratch& scratch);

/// Candidates of at least `min_p` times the mass of the likeliest.
void keep_min_p(std::vector<Candidate>& candidates, double min_p);

/// The candidate at the place of `bits` on the line of masses. Not empty.
int32_t draw_candidate(std::span<const Candidate> candidates, uint64_t bits);

/// The same over the whole vocabulary, without making candidates.
int32_t draw_from_all(std::span<const float> logits, float max, float temperature, uint64_t bits,
                      CandidateScratch& scratch);

}  // namespace hearth
