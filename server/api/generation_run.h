#pragma once
// One request's generations while they run: several prompts with n choices each, their events
// turned into text and log-probabilities of choices.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/api/api.h"
#include "server/gateway/text_stream.h"

namespace hearth::api {

/// What is to be generated.
struct RunSpec {
  std::vector<GenerateRequest> requests;  // one per prompt, all with the same number of choices
  std::vector<std::string> stop;
};

/// A generated token as the answer shows it.
struct TokenEntry {
  TokenEvent event;
  size_t begin_byte = 0;       // where its text begins in the choice's text
  size_t begin_character = 0;  // the same in characters
};

/// News of one choice.
struct Delta {
  int32_t index = 0;                // prompt * n + choice: the index in the answer
  std::string text;                 // whole characters, no stop string in it
  std::vector<TokenEntry> entries;  // the tokens whose text begins in `text`, if logprobs are on
  const char* finish_reason = nullptr;  // "stop" or "length" in the choice's last delta
};

struct Usage {
  int64_t prompt_tokens = 0;  // each prompt once, whatever n
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompts, from the prefix cache
};

/// Owns the generations; destroying it cancels what has not ended. One thread at a time.
class GenerationRun {
 public:
  /// Hands all prompts in; if one is refused, those before it are cancelled.
  static Result<std::unique_ptr<GenerationRun>> start(const ApiContext& context, RunSpec spec);

  /// Waits at most about `timeout` for news and returns all there are, those of one choice in
  /// order. An error ends the request.
  Result<std::vector<Delta>> next(std::chrono::milliseconds timeout);

  /// True once every choice has ended.
  [[nodiscard]] bool done() const;
  /// Complete once done().
  [[nodiscard]] Usage usage() const;
  /// Of one prompt, in order; complete before its first delta.
  [[nodiscard]] const std::vector<PromptLogprobEvent>& prompt_logprobs(int32_t prompt) const {
    return prompts_[static_cast<size_t>(prompt)].logprobs;
  }

 private:
  struct Choice {
    Choice(const Tokenizer& tokenizer, const std::vector<std::string>& stop)
        : text(tokenizer, stop) {}
    TextStream text;
    std::vector<TokenEntry> held;  // entries whose text is not released yet
    int32_t tokens = 0;
    bool told = false;   // its last delta is out
    bool ended = false;  // its FinishEvent is in
  };
  struct Prompt {
    std::unique_ptr<Generation> generation;
    std::vector<Choice> choices;
    std::vector<PromptLogprobEvent> logprobs;
    size_t tokens = 0;
    int32_t cached_tokens = 0;
    [[nodiscard]] bool ended() const;
    [[nodiscard]] bool told() const;
  };

  GenerationRun(const ApiContext& context, const RunSpec& spec);

  [[nodiscard]] Status check_choice(int32_t choice) const;
  Status drain_all(std::chrono::milliseconds timeout, std::vector<Delta>& out);
  Status drain(size_t prompt, std::chrono::milliseconds timeout, std::vector<Delta>& out);
  Status take(size_t prompt, EngineEvent event, std::vector<Delta>& out);
  void take_token(size_t prompt, TokenEvent event, std::vector<Delta>& out);
  Status take_finish(size_t prompt, const FinishEvent& event, std::vector<Delta>& out);
  [[nodiscard]] Delta make_delta(size_t prompt, int32_t choice, std::string text) const;

  std::vector<TokenId> stop_tokens_;
  bool with_logprobs_ = false;
  int32_t num_choices_ = 1;
  std::vector<Prompt> prompts_;
  std::optional<Error> failure_;  // told once the deltas before it are
  size_t turn_ = 0;               // the prompt that is waited for next
};

}  // namespace hearth::api
