#include "server/api/logprobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/utf8.h"

namespace hearth::api {
namespace {

// JSON has no -inf (a banned token's). OpenAI's API writes this for "as good as impossible".
constexpr double kImpossible = -9999.0;

double finite(float logprob) {
  return std::isfinite(logprob) ? static_cast<double>(logprob) : kImpossible;
}

OrderedJson chat_token(const Tokenizer& tokenizer, TokenId id, float logprob) {
  const std::string bytes = tokenizer.token_bytes(id, /*render_special=*/true);
  OrderedJson numbers = OrderedJson::array();
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  return {
      {"token", sanitize_utf8(bytes)}, {"logprob", finite(logprob)}, {"bytes", std::move(numbers)}};
}

std::string hash_text(uint64_t hash) { return fmt::format("{:016x}", hash); }

std::string completion_token(const Tokenizer& tokenizer, TokenId id) {
  std::string bytes = tokenizer.token_bytes(id, /*render_special=*/true);
  if (is_valid_utf8(bytes)) return bytes;
  std::string text = "bytes:";
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

}  // namespace

OrderedJson chat_logprobs(const Tokenizer& tokenizer, std::span<const TokenEntry> entries) {
  OrderedJson content = OrderedJson::array();
  for (const TokenEntry& entry : entries) {
    OrderedJson token = chat_token(tokenizer, entry.event.token, entry.event.logprob);
    OrderedJson top = OrderedJson::array();
    for (const TokenLogprob& other : entry.event.top_logprobs) {
      top.push_back(chat_token(tokenizer, other.token, other.logprob));
    }
    token["top_logprobs"] = std::move(top);
    if (entry.event.logits_hash != 0) token["logits_hash"] = hash_text(entry.event.logits_hash);
    content.push_back(std::move(token));
  }
  return content;
}

void CompletionLogprobs::add_token(TokenId id, size_t offset) {
  tokens_.push_back(completion_token(tokenizer_, id));
  text_offset_.push_back(offset);
}

void CompletionLogprobs::add_values(TokenId id, float logprob, std::span<const TokenLogprob> top) {
  token_logprobs_.push_back(finite(logprob));
  OrderedJson map = OrderedJson::object();
  for (const TokenLogprob& other : top) {
    // Two tokens may have one text; the likelier comes first and stays.
    map.emplace(completion_token(tokenizer_, other.token), finite(other.logprob));
  }
  map.emplace(completion_token(tokenizer_, id), finite(logprob));
  top_logprobs_.push_back(std::move(map));
}

void CompletionLogprobs::add_prompt(std::span<const TokenId> ids,
                                    std::span<const PromptLogprobEvent> events,
                                    std::string_view text) {
  // Tokens may have more text than the prompt: BOS, or the space a vocabulary puts in front. That
  // lies before the prompt's start, so its offset is 0.
  std::vector<size_t> begins;
  size_t end = 0;
  for (const TokenId id : ids) {
    begins.push_back(end);
    end += count_characters(tokenizer_.token_bytes(id, /*render_special=*/true));
  }
  const size_t characters = count_characters(text);
  const size_t surplus = end > characters ? end - characters : 0;
  auto event = events.begin();
  for (size_t i = 0; i < ids.size(); ++i) {
    add_token(ids[i], begins[i] > surplus ? begins[i] - surplus : 0);
    if (event != events.end() && static_cast<size_t>(event->index) == i) {
      add_values(ids[i], event->logprob, event->top_logprobs);
      ++event;
    } else {
      token_logprobs_.push_back(nullptr);
      top_logprobs_.push_back(nullptr);
    }
  }
}

void CompletionLogprobs::add(std::span<const TokenEntry> entries, size_t offset) {
  for (const TokenEntry& entry : entries) {
    add_token(entry.event.token, offset + entry.begin_character);
    add_values(entry.event.token, entry.event.logprob, entry.event.top_logprobs);
    if (entry.event.logits_hash != 0) logits_hash_.push_back(hash_text(entry.event.logits_hash));
  }
}

OrderedJson CompletionLogprobs::take() {
  OrderedJson out = {{"tokens", std::move(tokens_)},
                     {"token_logprobs", std::move(token_logprobs_)},
                     {"top_logprobs", std::move(top_logprobs_)},
                     {"text_offset", std::move(text_offset_)}};
  if (!logits_hash_.empty()) out["logits_hash"] = std::move(logits_hash_);
  return out;
}

}  // namespace hearth::api
