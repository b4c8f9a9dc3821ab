#include "server/api/generation_run.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace hearth::api {
namespace {

using std::chrono::milliseconds;

// With several prompts alive, news of any must not wait long for a silent one.
constexpr milliseconds kSharedWait{2};

// Errors that only the gateway or a worker can have made must not look like the client's.
Error failure(FailEvent event) {
  if (event.code == ErrorCode::kMalformed || event.code == ErrorCode::kIo) {
    event.code = ErrorCode::kInternal;
  }
  return {.code = event.code, .message = std::move(event.message), .param = {}};
}

}  // namespace

bool GenerationRun::Prompt::ended() const { return std::ranges::all_of(choices, &Choice::ended); }

bool GenerationRun::Prompt::told() const { return std::ranges::all_of(choices, &Choice::told); }

GenerationRun::GenerationRun(const ApiContext& context, const RunSpec& spec)
    : stop_tokens_(spec.requests.front().stop_tokens),
      with_logprobs_(spec.requests.front().sampling.num_logprobs >= 0),
      num_choices_(spec.requests.front().num_choices) {
  for (const GenerateRequest& request : spec.requests) {
    Prompt& prompt = prompts_.emplace_back();
    prompt.tokens = request.prompt.size();
    for (int32_t i = 0; i < num_choices_; ++i) {
      prompt.choices.emplace_back(context.tokenizer, spec.stop);
    }
  }
}

Result<std::unique_ptr<GenerationRun>> GenerationRun::start(const ApiContext& context,
                                                            RunSpec spec) {
  HEARTH_CHECK(!spec.requests.empty(), "a run needs a prompt");
  std::unique_ptr<GenerationRun> run(new GenerationRun(context, spec));
  for (size_t i = 0; i < spec.requests.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(run->prompts_[i].generation,
                            context.generations.submit(std::move(spec.requests[i])));
  }
  return run;
}

bool GenerationRun::done() const { return std::ranges::all_of(prompts_, &Prompt::ended); }

Usage GenerationRun::usage() const {
  Usage usage;
  for (const Prompt& prompt : prompts_) {
    usage.prompt_tokens += static_cast<int64_t>(prompt.tokens);
    usage.cached_tokens += prompt.cached_tokens;
    for (const Choice& choice : prompt.choices) usage.completion_tokens += choice.tokens;
  }
  return usage;
}

Result<std::vector<Delta>> GenerationRun::next(milliseconds timeout) {
  std::vector<Delta> out;
  if (!failure_) {
    if (Status status = drain_all(timeout, out); !status) failure_ = std::move(status).error();
  }
  // What came before the failure is delivered before it.
  if (failure_ && out.empty()) return std::unexpected(*failure_);
  return out;
}

Status GenerationRun::drain_all(milliseconds timeout, std::vector<Delta>& out) {
  size_t alive = 0;
  for (size_t i = 0; i < prompts_.size(); ++i) {
    if (prompts_[i].ended()) continue;
    ++alive;
    HEARTH_RETURN_IF_ERROR(drain(i, milliseconds(0), out));
  }
  if (!out.empty() || done()) return {};
  const milliseconds wait = alive > 1 ? std::min(timeout, kSharedWait) : timeout;
  while (prompts_[turn_].ended()) turn_ = (turn_ + 1) % prompts_.size();
  HEARTH_RETURN_IF_ERROR(drain(turn_, wait, out));
  turn_ = (turn_ + 1) % prompts_.size();
  return {};
}

Status GenerationRun::drain(size_t prompt, milliseconds timeout, std::vector<Delta>& out) {
  while (!prompts_[prompt].ended()) {
    std::optional<EngineEvent> event = prompts_[prompt].generation->next(timeout);
    if (!event) return {};
    HEARTH_RETURN_IF_ERROR(take(prompt, std::move(*event), out));
    timeout = milliseconds(0);
  }
  return {};
}

Status GenerationRun::take(size_t prompt, EngineEvent event, std::vector<Delta>& out) {
  Prompt& state = prompts_[prompt];
  if (auto* const token = std::get_if<TokenEvent>(&event)) {
    HEARTH_RETURN_IF_ERROR(check_choice(token->choice));
    take_token(prompt, std::move(*token), out);
    return {};
  }
  if (auto* const logprob = std::get_if<PromptLogprobEvent>(&event)) {
    state.logprobs.push_back(std::move(*logprob));
    return {};
  }
  if (const auto* const finish = std::get_if<FinishEvent>(&event)) {
    HEARTH_RETURN_IF_ERROR(check_choice(finish->choice));
    return take_finish(prompt, *finish, out);
  }
  if (state.told()) {  // the client has all it asked for
    for (Choice& choice : state.choices) choice.ended = true;
    return {};
  }
  return std::unexpected(failure(std::get<FailEvent>(std::move(event))));
}

Status GenerationRun::check_choice(int32_t choice) const {
  if (choice >= 0 && choice < num_choices_) return {};
  return fail(ErrorCode::kInternal, "a worker sent news of a choice that was not asked for");
}

Delta GenerationRun::make_delta(size_t prompt, int32_t choice, std::string text) const {
  return {.index = static_cast<int32_t>(prompt) * num_choices_ + choice,
          .text = std::move(text),
          .entries = {},
          .finish_reason = nullptr};
}

void GenerationRun::take_token(size_t prompt, TokenEvent event, std::vector<Delta>& out) {
  Choice& choice = prompts_[prompt].choices[static_cast<size_t>(event.choice)];
  if (choice.told) return;
  // Counted like any token (FinishEvent), but no part of the text or of the log-probabilities.
  if (std::ranges::find(stop_tokens_, event.token) != stop_tokens_.end()) return;
  const int32_t number = event.choice;
  ++choice.tokens;
  TokenEntry entry{.event = {},
                   .begin_byte = choice.text.decoded_bytes(),
                   .begin_character = choice.text.decoded_characters()};
  Delta delta = make_delta(prompt, number, choice.text.push(event.token));
  if (with_logprobs_) {
    entry.event = std::move(event);
    choice.held.push_back(std::move(entry));
    // A token is shown with the text that it begins. One that begins at or behind the cut of a
    // stop string is not part of the answer.
    const auto shown = std::ranges::find_if(choice.held, [&](const TokenEntry& held) {
      return held.begin_byte >= choice.text.released_bytes();
    });
    std::move(choice.held.begin(), shown, std::back_inserter(delta.entries));
    choice.held.erase(choice.held.begin(), shown);
  }
  if (choice.text.stopped()) {
    choice.told = true;
    delta.finish_reason = "stop";
    prompts_[prompt].generation->stop_choice(number);
  }
  if (!delta.text.empty() || !delta.entries.empty() || choice.told) out.push_back(std::move(delta));
}

Status GenerationRun::take_finish(size_t prompt, const FinishEvent& event,
                                  std::vector<Delta>& out) {
  Choice& choice = prompts_[prompt].choices[static_cast<size_t>(event.choice)];
  choice.ended = true;
  // The choices of one prompt share its pages: the first tells what came from the cache.
  if (event.choice == 0) prompts_[prompt].cached_tokens = event.cached_prompt_tokens;
  if (choice.told) return {};  // what came behind the stop string is not counted
  if (event.reason == FinishReason::kCancelled) {
    return fail(ErrorCode::kUnavailable, "the server cancelled the request");
  }
  choice.told = true;
  Delta delta = make_delta(prompt, event.choice, choice.text.finish());
  const bool cut = choice.text.stopped();  // by the end of a character that was flushed
  const bool length = event.reason == FinishReason::kLength && !cut;
  delta.finish_reason = length ? "length" : "stop";
  choice.tokens = event.completion_tokens;
  const size_t end = choice.text.released_bytes();
  for (TokenEntry& entry : choice.held) {
    if (!cut || entry.begin_byte < end) delta.entries.push_back(std::move(entry));
  }
  choice.held.clear();
  out.push_back(std::move(delta));
  return {};
}

}  // namespace hearth::api
