#include "server/api/prompt_tokens.h"

#include <fmt/format.h>

#include <algorithm>

namespace hearth::api {
namespace {

bool adds_eos(const Tokenizer& tokenizer) {
  const std::vector<TokenId> added = tokenizer.encode("", {.add_special = true});
  if (added.empty() || !tokenizer.eos() || added.back() != *tokenizer.eos()) return false;
  // One token that is both: it stands at the start.
  return added.size() > 1 || tokenizer.bos() != tokenizer.eos();
}

}  // namespace

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  const std::optional<TokenId> bos = tokenizer.bos();
  const bool has_bos = bos && text.starts_with(tokenizer.token_text(*bos));
  std::vector<TokenId> ids =
      tokenizer.encode(text, {.add_special = !has_bos, .parse_special = true});
  if (!has_bos && adds_eos(tokenizer)) ids.pop_back();
  return ids;
}

std::optional<std::vector<TokenId>> read_token_ids(FieldReader& reader, const OrderedJson& values,
                                                   const std::string& field, int32_t vocab_size) {
  std::vector<TokenId> ids;
  ids.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const OrderedJson& value = values[i];
    // A large unsigned number is negative as int64_t: out of range either way.
    const int64_t id = value.is_number_integer() ? value.get<int64_t>() : -1;
    if (id < 0 || id >= vocab_size) {
      const std::string name = fmt::format("{}[{}]", field, i);
      reader.refuse(name, fmt::format("{} is not a token id from 0 to {}", name, vocab_size - 1));
      return std::nullopt;
    }
    ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

Result<int32_t> fit_max_tokens(const ApiContext& context, const GenerationOptions& options,
                               size_t prompt_tokens, std::optional<int32_t> default_tokens,
                               std::string_view field) {
  const auto limit = static_cast<int64_t>(context.model.context_tokens);
  const auto prompt = static_cast<int64_t>(prompt_tokens);
  // 0 asks for the log-probabilities of a prompt, which may then fill the context.
  const int64_t least = options.max_tokens == 0 ? 0 : 1;
  if (prompt + least > limit) {
    return fail(ErrorCode::kContextLengthExceeded,
                fmt::format("This model's maximum context length is {} tokens, but the prompt has "
                            "{} tokens{}",
                            limit, prompt,
                            least == 0 ? "" : " and at least one must be left for the answer"),
                std::string(field));
  }
  if (!options.max_tokens) {
    int64_t tokens = limit - prompt;
    if (default_tokens) tokens = std::min<int64_t>(tokens, *default_tokens);
    if (context.limits.max_tokens > 0)
      tokens = std::min<int64_t>(tokens, context.limits.max_tokens);
    return static_cast<int32_t>(tokens);
  }
  const int64_t wanted = *options.max_tokens;
  if (prompt + wanted > limit) {
    return fail(ErrorCode::kContextLengthExceeded,
                fmt::format("This model's maximum context length is {} tokens, but {} tokens were "
                            "requested: {} in the prompt and {} by {}",
                            limit, prompt + wanted, prompt, wanted, options.max_tokens_field),
                std::string(field));
  }
  return static_cast<int32_t>(wanted);
}

}  // namespace hearth::api
