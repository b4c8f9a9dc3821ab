#pragma once
// Sampling as an op of devices: from logits to tokens and what their log-probabilities are made of,
// without the logits' leaving the device. What a token is, and in which order filters apply, is
// engine/sampler/sampler.h's; the op gives the very same tokens, bit for bit. C++20: CUDA code
// includes this header.

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/quant/half.h"

namespace hearth::kernels {

/// Sums of exponentials are made of 16 lanes over so many tokens.
inline constexpr int kSampleChunk = 1024;
inline constexpr int kSampleLanes = 16;
/// Vocabularies are smaller.
inline constexpr int32_t kSampleMostVocab = 1 << 20;
/// The most likeliest tokens that can be asked for.
inline constexpr int32_t kSampleMostTop = 32;
/// The longest lists of a slot. More distinct tokens than this have few prompts of 32k tokens.
inline constexpr int32_t kSampleMostBiases = 1024;
inline constexpr int32_t kSampleMostCounts = 8192;

/// Added to a token's logit.
struct TokenBias {
  int32_t token;
  float bias;
};
/// How often a token is in the output; 0: in the prompt alone.
struct TokenCount {
  int32_t token;
  int32_t count;
};

enum class SampleMode : int32_t {
  kNone,    // the row's token is not wanted here
  kGreedy,  // the largest logit, ties to the lowest id
  kDraw,
};

/// How a row's token is chosen (engine/sampler/sampling_params.h).
struct SampleRow {
  uint64_t bits = 0;  // of the draw
  SampleMode mode = SampleMode::kNone;
  int32_t logit_row = 0;  // its logits
  int32_t num_top = -1;   // -1: no log-probabilities; else of the token and of so many likeliest
  float temperature = 0.0F;
  int32_t top_k = 0;  // 0: off; below the vocabulary's size
  float typical_p = 1.0F;
  float top_p = 1.0F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  int32_t slot = 0;  // of the lists below
  int32_t num_biases = 0;
  int32_t num_counts = 0;
  int32_t changed = -1;  // index of the count that is set to `change` first; -1: none
  TokenCount change{0, 0};
};

struct TopLogit {
  int32_t token;
  float logit;
};

/// Of a row; what belongs to log-probabilities is set if they were asked for. The natural logarithm
/// of a token's probability is logit - max - log(exp_sum).
struct SampleResult {
  int32_t token;    // -1: no logit is above -inf
  int32_t num_top;  // fewer than asked for if others are impossible
  float logit;      // the model's, of the token
  float max;        // of the model's logits
  double exp_sum;   // of e^(logit - max), summed in one fixed order
};

/// Which of the op's parts any row needs. More than needed is right, and slower.
struct SampleStages {
  bool changes = true;  // biases, counts
  bool draws = true;
  bool top_k = true;
  bool typical_p = true;
  bool top_p = true;
  bool min_p = true;
  bool logprobs = true;
};

/// Pointers are device memory.
struct SampleArgs {
  float* logits = nullptr;         // [logit_row + 1 at least, vocab_size]; the same afterwards
  const SampleRow* row = nullptr;  // [rows]
  int32_t rows = 0;
  int32_t vocab_size = 0;
  const TokenBias* biases = nullptr;  // [slots, kSampleMostBiases]; equal tokens next to each other
  TokenCount* counts = nullptr;       // [slots, kSampleMostCounts]; each token once
  float* saved = nullptr;             // [rows, kSampleMostBiases + kSampleMostCounts]: scratch
  void* work = nullptr;               // scratch: [rows, sample_row_bytes()], aligned to 16
  SampleStages stages;
  SampleResult* result = nullptr;  // [rows]
  TopLogit* top = nullptr;         // [rows, kSampleMostTop], best first, ties to lower ids
};

/// Scratch memory that rows take: for each its state, a list, and values for each chunk.
inline constexpr size_t kSampleStateBytes = size_t{92} << 10;
HEARTH_HOST_DEVICE constexpr size_t sample_chunks(int32_t vocab_size) {
  return static_cast<size_t>(vocab_size + kSampleChunk - 1) / kSampleChunk;
}
HEARTH_HOST_DEVICE constexpr size_t sample_row_bytes(int32_t vocab_size) {
  constexpr size_t kChunkBytes = sizeof(uint64_t) + sizeof(float) * (1 + kSampleLanes);
  return (kSampleStateBytes + sample_chunks(vocab_size) * kChunkBytes + 15) / 16 * 16;
}

/// By sorting. Pointers are host memory; `saved` and `work` are not used.
void sample_ref(const ExecContext& context, const SampleArgs& args);

}  // namespace hearth::kernels
