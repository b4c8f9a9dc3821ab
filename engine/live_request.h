#pragma once
// A request inside the engine: its choices, each a sequence with its own tokens and sampler.

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "engine/request.h"
#include "engine/sampler/sampler.h"
#include "engine/scheduler/scheduler.h"

namespace hearth {

struct LiveRequest;

/// One of a request's n answers. `tokens` is the prompt, then what was generated.
struct Choice {
  LiveRequest* request = nullptr;
  int32_t index = 0;
  SequenceId sequence = 0;
  std::vector<int32_t> tokens;
  std::unique_ptr<Sampler> sampler;
  bool finished = false;

  [[nodiscard]] int32_t generated() const;
};

struct LiveRequest {
  GenerateRequest spec;
  std::unordered_set<int32_t> stop_tokens;
  std::vector<std::unique_ptr<Choice>> choices;
  std::chrono::steady_clock::time_point submitted;
  bool started = false;  // has had rows in a batch
  int32_t unfinished = 0;
  PageFaults page_faults;    // in the steps that it had rows in
  uint64_t faults_step = 0;  // the last of these steps, counted from 1
  /// Prompt token whose log-probability comes next; those before it were sent. Survives preemption.
  int32_t next_prompt_logprob = 1;
};

inline int32_t Choice::generated() const {
  return static_cast<int32_t>(tokens.size() - request->spec.prompt.size());
}

}  // namespace hearth
