#pragma once
// Runs requests through a real engine on a tiny model and collects what their clients would see.

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "tests/support/temp_model.h"

namespace hearth::testing {

/// What a client would see of one choice.
struct Answer {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<uint64_t> logits;  // hashes, if the engine makes them
  FinishReason reason = FinishReason::kCancelled;
  int32_t completion_tokens = 0;

  bool operator==(const Answer&) const = default;
};
using ChoiceId = std::pair<RequestId, int32_t>;
using Answers = std::map<ChoiceId, Answer>;

inline EngineOptions small_options() {
  EngineOptions options;
  options.model = tiny_model();
  options.context_tokens = 256;
  options.parallel = 8;
  options.threads = 2;
  return options;
}

inline std::unique_ptr<Engine> load(const EngineOptions& options) {
  auto engine = Engine::load(options);
  REQUIRE_MESSAGE(engine.has_value(), (engine.has_value() ? "" : engine.error().message));
  return std::move(*engine);
}

/// A request whose prompt depends on `id`.
inline GenerateRequest make_request(RequestId id, int32_t prompt_tokens = 5,
                                    int32_t max_tokens = 12) {
  GenerateRequest request;
  request.id = id;
  for (int32_t i = 0; i < prompt_tokens; ++i)
    request.prompt.push_back(static_cast<int32_t>((id * 31 + static_cast<uint64_t>(i) * 7) % 250));
  request.max_tokens = max_tokens;
  request.sampling.seed = 99 + id;
  request.sampling.num_logprobs = 0;
  return request;
}

/// Answers of a run and what the prefix cache had of each prompt.
struct Run {
  Answers answers;
  std::map<ChoiceId, int32_t> cached;
  std::map<ChoiceId, PageFaults> page_faults;
};

inline void collect(Engine& engine, Run& run) {
  for (const EngineEvent& event : engine.poll()) {
    REQUIRE_FALSE(std::holds_alternative<FailEvent>(event));
    if (const auto* token = std::get_if<TokenEvent>(&event)) {
      Answer& answer = run.answers[{token->request, token->choice}];
      CHECK(token->index == static_cast<int32_t>(answer.tokens.size()));
      answer.tokens.push_back(token->token);
      answer.logprobs.push_back(token->logprob);
      answer.logits.push_back(token->logits_hash);
    } else if (const auto* finish = std::get_if<FinishEvent>(&event)) {
      Answer& answer = run.answers[{finish->request, finish->choice}];
      answer.reason = finish->reason;
      answer.completion_tokens = finish->completion_tokens;
      run.cached[{finish->request, finish->choice}] = finish->cached_prompt_tokens;
      run.page_faults[{finish->request, finish->choice}] = finish->page_faults;
    }
  }
}

inline Run run_all(Engine& engine, const std::vector<GenerateRequest>& requests) {
  for (const GenerateRequest& request : requests) {
    const Status status = engine.submit(request);
    REQUIRE_MESSAGE(status.has_value(), (status.has_value() ? "" : status.error().message));
  }
  Run run;
  while (engine.has_work()) {
    engine.step();
    collect(engine, run);
  }
  collect(engine, run);
  CHECK(engine.stats().kv_pages_used == 0);
  return run;
}

inline Answers run(Engine& engine, const std::vector<GenerateRequest>& requests) {
  return run_all(engine, requests).answers;
}

inline Answer run_alone(const EngineOptions& options, const GenerateRequest& request) {
  auto engine = load(options);
  return run(*engine, {request}).at({request.id, 0});
}

}  // namespace hearth::testing
