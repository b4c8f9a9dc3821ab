// POST /v1/chat/completions

#include <fmt/format.h>

#include <set>
#include <utility>

#include "server/api/chat_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/generation_answer.h"
#include "server/api/inert_fields.h"
#include "server/api/json_body.h"
#include "server/api/logprobs.h"
#include "server/api/prompt_tokens.h"

namespace hearth::api {
namespace {

struct ChatRequest {
  GenerationOptions options;
  ChatPrompt prompt;
};

void read_logprobs(FieldReader& reader, const ApiLimits& limits, SamplingParams& sampling) {
  bool logprobs = false;
  int32_t top_logprobs = 0;
  reader.boolean("logprobs", logprobs);
  const bool top = reader.integer("top_logprobs", 0, limits.max_logprobs, top_logprobs);
  if (top && !logprobs) {
    reader.refuse("top_logprobs", "top_logprobs is only allowed with logprobs: true");
  }
  if (logprobs) sampling.num_logprobs = top_logprobs;
}

Result<ChatRequest> read_request(const ApiContext& context, const OrderedJson& body) {
  ChatRequest request;
  FieldReader reader(body);
  read_generation_options(reader, context, request.options);
  read_chat_prompt(reader, request.prompt);
  read_max_tokens(reader, context, "max_completion_tokens", 1, request.options);
  read_max_tokens(reader, context, "max_tokens", 1, request.options);
  read_logprobs(reader, context.limits, request.options.sampling);
  take_inert_fields(reader, Endpoint::kChat);
  HEARTH_RETURN_IF_ERROR(reader.finish());
  return request;
}

class ChatFormat final : public AnswerFormat {
 public:
  ChatFormat(const Tokenizer& tokenizer, bool with_logprobs)
      : tokenizer_(tokenizer), with_logprobs_(with_logprobs) {}

  [[nodiscard]] const char* id_prefix() const override { return "chatcmpl-"; }
  [[nodiscard]] const char* object() const override { return "chat.completion"; }
  [[nodiscard]] const char* chunk_object() const override { return "chat.completion.chunk"; }

  OrderedJson whole_choice(const GenerationRun& /*run*/, Delta whole) override {
    return {{"index", whole.index},
            {"message",
             {{"role", "assistant"}, {"content", std::move(whole.text)}, {"refusal", nullptr}}},
            {"logprobs", logprobs(whole.entries)},
            {"finish_reason", whole.finish_reason}};
  }

  std::vector<OrderedJson> chunk_choices(const GenerationRun& /*run*/, Delta delta) override {
    std::vector<OrderedJson> out;
    if (begun_.insert(delta.index).second) {
      out.push_back(choice(
          delta.index, {{"role", "assistant"}, {"content", ""}, {"refusal", nullptr}}, nullptr));
    }
    if (!delta.text.empty() || !delta.entries.empty()) {
      out.push_back(choice(delta.index, OrderedJson::object({{"content", std::move(delta.text)}}),
                           logprobs(delta.entries)));
    }
    if (delta.finish_reason != nullptr) {
      out.push_back(choice(delta.index, OrderedJson::object(), nullptr));
      out.back()["finish_reason"] = delta.finish_reason;
    }
    return out;
  }

 private:
  [[nodiscard]] OrderedJson logprobs(const std::vector<TokenEntry>& entries) const {
    if (!with_logprobs_) return nullptr;
    return {{"content", chat_logprobs(tokenizer_, entries)}, {"refusal", nullptr}};
  }

  static OrderedJson choice(int32_t index, OrderedJson delta, OrderedJson logprobs) {
    return {{"index", index},
            {"delta", std::move(delta)},
            {"logprobs", std::move(logprobs)},
            {"finish_reason", nullptr}};
  }

  const Tokenizer& tokenizer_;
  bool with_logprobs_;
  std::set<int32_t> begun_;  // choices whose role has been sent
};

}  // namespace

Status chat_completions(Call& call) {
  const ApiContext& context = call.context;
  HEARTH_ASSIGN_OR_RETURN(const OrderedJson body, parse_json(call.request.body));
  HEARTH_ASSIGN_OR_RETURN(const ChatRequest request, read_request(context, body));
  HEARTH_ASSIGN_OR_RETURN(const std::string text, render_chat_prompt(context, request.prompt));
  std::vector<TokenId> ids = encode_prompt(context.tokenizer, text);
  if (ids.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the messages give an empty prompt", "messages");
  }
  HEARTH_ASSIGN_OR_RETURN(
      const int32_t max_tokens,
      fit_max_tokens(context, request.options, ids.size(), std::nullopt, "messages"));
  RunSpec spec{.requests = {}, .stop = request.options.stop};
  spec.requests.push_back(make_request(call, request.options, std::move(ids), max_tokens));
  ChatFormat format(context.tokenizer, request.options.sampling.num_logprobs >= 0);
  return answer_generation(call, request.options, std::move(spec), format);
}

}  // namespace hearth::api
