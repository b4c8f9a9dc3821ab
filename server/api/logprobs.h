#pragma once
// Log-probabilities in the two forms of OpenAI's API.

#include <span>
#include <string_view>
#include <vector>

#include "engine/tokenizer/tokenizer.h"
#include "server/api/generation_run.h"

namespace hearth::api {

// With --debug-logits-hash each generated token has a `logits_hash` too, in hexadecimal.

/// The `content` array of a chat choice: token, logprob, bytes, top_logprobs of each.
OrderedJson chat_logprobs(const Tokenizer& tokenizer, std::span<const TokenEntry> entries);

/// The `logprobs` object of a completions choice, filled bit by bit. Tokens that are not whole
/// characters are written "bytes:\xe2\x82". `top_logprobs` always has the chosen token too, so up
/// to logprobs + 1 of them. `text_offset` counts characters of the choice's `text`.
class CompletionLogprobs {
 public:
  explicit CompletionLogprobs(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// The prompt's tokens for echo; the first has no log-probability. `text` is the prompt's text.
  void add_prompt(std::span<const TokenId> ids, std::span<const PromptLogprobEvent> events,
                  std::string_view text);
  /// Generated tokens; `offset`: characters of the choice's text before the first one (echo).
  void add(std::span<const TokenEntry> entries, size_t offset);
  OrderedJson take();

 private:
  void add_token(TokenId id, size_t offset);
  void add_values(TokenId id, float logprob, std::span<const TokenLogprob> top);

  const Tokenizer& tokenizer_;
  OrderedJson tokens_ = OrderedJson::array();
  OrderedJson token_logprobs_ = OrderedJson::array();
  OrderedJson top_logprobs_ = OrderedJson::array();
  OrderedJson text_offset_ = OrderedJson::array();
  OrderedJson logits_hash_ = OrderedJson::array();  // of generated tokens
};

}  // namespace hearth::api
