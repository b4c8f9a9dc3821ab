#pragma once
// What crosses the engine's border: requests down, events back. Plain values, shaped for replay:
// a request together with its delivered tokens determines the rest of the answer.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/page_faults.h"
#include "base/result.h"
#include "engine/sampler/sampling_params.h"

namespace hearth {

using RequestId = uint64_t;

struct GenerateRequest {
  RequestId id = 0;
  std::vector<int32_t> prompt;       // token ids, at least one
  int32_t num_choices = 1;           // OpenAI's n
  int32_t max_tokens = 0;            // per choice; 0: the prompt alone; they fit the context
  std::vector<int32_t> stop_tokens;  // ids that end a choice and are not part of its text
  bool prompt_logprobs = false;      // completions with echo and logprobs
  SamplingParams sampling;
  std::string fairness_key;  // whose share of the machine this uses
  /// Prefix-cache entries are shared among requests of equal salt; the server makes one per key.
  uint64_t cache_salt = 0;
  int32_t priority = 0;
  /// Replay after a worker's death: per choice, the tokens that were delivered already. Generation
  /// goes on behind them with the very token that would have come. Empty for a fresh request.
  std::vector<std::vector<int32_t>> delivered;
  /// Replay: per choice, 1 if its FinishEvent was delivered already; it is not generated again and
  /// has no further event. At least one choice is open. Empty: all are.
  std::vector<uint8_t> finished;

  friend bool operator==(const GenerateRequest&, const GenerateRequest&) = default;
};

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0F;  // natural logarithm

  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

/// A generated token. `index` counts the choice's tokens from 0, delivered ones included.
struct TokenEvent {
  RequestId request = 0;
  int32_t choice = 0;
  int32_t index = 0;
  int32_t token = 0;
  float logprob = 0.0F;                    // set if SamplingParams::num_logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;  // the likeliest, best first
  /// Hash of the bits of all logits behind this token; 0 unless EngineOptions::hash_logits.
  uint64_t logits_hash = 0;

  friend bool operator==(const TokenEvent&, const TokenEvent&) = default;
};

/// Log-probability of prompt token `index` (1 …) given those before it, in order of index.
struct PromptLogprobEvent {
  RequestId request = 0;
  int32_t index = 0;
  float logprob = 0.0F;
  std::vector<TokenLogprob> top_logprobs;

  friend bool operator==(const PromptLogprobEvent&, const PromptLogprobEvent&) = default;
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled };

/// The last event of one choice.
struct FinishEvent {
  RequestId request = 0;
  int32_t choice = 0;
  FinishReason reason = FinishReason::kStop;
  int32_t completion_tokens = 0;     // delivered ones included; a stop token is counted
  int32_t cached_prompt_tokens = 0;  // taken from the prefix cache
  PageFaults page_faults = {};       // in the steps of the request so far, which others may share

  friend bool operator==(const FinishEvent&, const FinishEvent&) = default;
};

/// The request ends without a result.
struct FailEvent {
  RequestId request = 0;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  friend bool operator==(const FailEvent&, const FailEvent&) = default;
};

using EngineEvent = std::variant<TokenEvent, PromptLogprobEvent, FinishEvent, FailEvent>;

/// How a request entered its first batch: after how long a wait since submit(), and what of its
/// prompt the prefix cache had. Kept by the gateway, so that a replay reports the same.
struct QueueTime {
  RequestId request = 0;
  uint64_t waited_ns = 0;
  int32_t cached_prompt_tokens = 0;

  friend bool operator==(const QueueTime&, const QueueTime&) = default;
};

/// Bookkeeping figures of one engine, for health and metrics.
struct EngineStats {
  uint64_t steps = 0;             // completed steps: progress while there is work
  int32_t running = 0;            // sequences in the batch
  int32_t waiting = 0;            // sequences not yet started
  int64_t kv_pages_total = 0;     // free, used and cached ones
  int64_t kv_pages_used = 0;      // held by running sequences
  uint64_t prompt_tokens = 0;     // computed, since start
  uint64_t generated_tokens = 0;  // since start
  uint64_t preemptions = 0;
  uint64_t cancelled = 0;
  int64_t kv_pages_cached = 0;               // held by none, kept for prompts that begin alike
  uint64_t prefix_cache_queries_tokens = 0;  // looked up in the prefix cache, since start
  uint64_t prefix_cache_hits_tokens = 0;     // of these, found
  PageFaults page_faults;                    // in steps, since start

  friend bool operator==(const EngineStats&, const EngineStats&) = default;
};

}  // namespace hearth
