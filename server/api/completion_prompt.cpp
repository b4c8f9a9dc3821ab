#include "server/api/completion_prompt.h"

#include <fmt/format.h>

#include <utility>

#include "server/api/prompt_tokens.h"

namespace hearth::api {
namespace {

constexpr std::string_view kForms =
    "a string, an array of strings, an array of token ids or an array of such arrays";

class PromptReader {
 public:
  PromptReader(FieldReader& reader, const ApiContext& context)
      : reader_(reader), tokenizer_(context.tokenizer), limits_(context.limits) {}

  std::vector<CompletionPrompt> read(const OrderedJson* value) {
    if (value == nullptr) {
      add_text(std::string(), "prompt");
    } else if (value->is_string()) {
      add_text(value->get<std::string>(), "prompt");
    } else if (!value->is_array()) {
      reader_.refuse_type("prompt", kForms, *value);
    } else if (value->empty()) {
      reader_.refuse("prompt", "prompt is an empty array");
    } else if (value->front().is_number()) {
      add_tokens(*value, "prompt");
    } else {
      add_several(*value);
    }
    return std::move(prompts_);
  }

 private:
  void add_several(const OrderedJson& values) {
    if (values.size() > static_cast<size_t>(limits_.max_prompts)) {
      return reader_.refuse("prompt", fmt::format("prompt has {} entries, at most {} are allowed",
                                                  values.size(), limits_.max_prompts));
    }
    const bool texts = values.front().is_string();
    for (size_t i = 0; i < values.size() && reader_.ok(); ++i) {
      const OrderedJson& value = values[i];
      const std::string field = fmt::format("prompt[{}]", i);
      if (texts ? !value.is_string() : !value.is_array()) {
        reader_.refuse("prompt",
                       fmt::format("{} is {}; prompt must be {}", field, kind_of(value), kForms));
      } else if (texts) {
        add_text(value.get<std::string>(), field);
      } else {
        add_tokens(value, field);
      }
    }
  }

  void add_text(std::string text, std::string field) {
    std::vector<TokenId> ids = encode_prompt(tokenizer_, text);
    if (ids.empty() && tokenizer_.bos()) ids.push_back(*tokenizer_.bos());
    if (ids.empty()) {
      return reader_.refuse(field, fmt::format("{} is empty and the model has no token for the "
                                               "start of a text",
                                               field));
    }
    prompts_.push_back({.ids = std::move(ids), .text = std::move(text), .field = std::move(field)});
  }

  void add_tokens(const OrderedJson& values, std::string field) {
    if (values.empty()) return reader_.refuse(field, fmt::format("{} is empty", field));
    auto ids = read_token_ids(reader_, values, field, tokenizer_.vocab_size());
    if (!ids) return;
    std::string text = tokenizer_.decode(*ids, /*render_special=*/true);
    prompts_.push_back(
        {.ids = std::move(*ids), .text = std::move(text), .field = std::move(field)});
  }

  FieldReader& reader_;
  const Tokenizer& tokenizer_;
  const ApiLimits& limits_;
  std::vector<CompletionPrompt> prompts_;
};

}  // namespace

std::vector<CompletionPrompt> read_completion_prompts(FieldReader& reader,
                                                      const ApiContext& context) {
  return PromptReader(reader, context).read(reader.take("prompt"));
}

}  // namespace hearth::api
