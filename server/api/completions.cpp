// POST /v1/completions

#include <fmt/format.h>

#include <map>
#include <utility>

#include "server/api/completion_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/generation_answer.h"
#include "server/api/inert_fields.h"
#include "server/api/json_body.h"
#include "server/api/logprobs.h"
#include "server/api/prompt_tokens.h"

namespace hearth::api {
namespace {

// OpenAI's default of max_tokens for this endpoint.
constexpr int32_t kDefaultMaxTokens = 16;

struct CompletionRequest {
  GenerationOptions options;
  std::vector<CompletionPrompt> prompts;
  bool echo = false;
};

void check_counts(FieldReader& reader, const ApiLimits& limits, const CompletionRequest& request) {
  const GenerationOptions& options = request.options;
  int32_t best_of = options.num_choices;
  if (reader.integer("best_of", 1, limits.max_choices, best_of) && best_of != options.num_choices) {
    reader.refuse("best_of", ErrorCode::kUnsupported,
                  fmt::format("best_of is {}, but only the value of n, {}, is supported", best_of,
                              options.num_choices));
  }
  const size_t sequences = request.prompts.size() * static_cast<size_t>(options.num_choices);
  if (sequences > static_cast<size_t>(limits.max_sequences)) {
    reader.refuse("n", fmt::format("{} prompts times n = {} are {} completions, at most {} are "
                                   "allowed",
                                   request.prompts.size(), options.num_choices, sequences,
                                   limits.max_sequences));
  }
  if (options.max_tokens == 0 && !request.echo) {
    reader.refuse("max_tokens", "max_tokens 0 is only allowed with echo: true");
  }
}

Result<CompletionRequest> read_request(const ApiContext& context, const OrderedJson& body) {
  CompletionRequest request;
  GenerationOptions& options = request.options;
  FieldReader reader(body);
  read_generation_options(reader, context, options);
  request.prompts = read_completion_prompts(reader, context);
  reader.boolean("echo", request.echo);
  reader.integer("logprobs", 0, context.limits.max_logprobs, options.sampling.num_logprobs);
  read_max_tokens(reader, context, "max_tokens", 0, options);
  take_inert_fields(reader, Endpoint::kCompletions);
  check_counts(reader, context.limits, request);
  HEARTH_RETURN_IF_ERROR(reader.finish());
  return request;
}

class CompletionFormat final : public AnswerFormat {
 public:
  CompletionFormat(const Tokenizer& tokenizer, const CompletionRequest& request)
      : tokenizer_(tokenizer), request_(request) {}

  [[nodiscard]] const char* id_prefix() const override { return "cmpl-"; }
  [[nodiscard]] const char* object() const override { return "text_completion"; }
  [[nodiscard]] const char* chunk_object() const override { return "text_completion"; }

  OrderedJson whole_choice(const GenerationRun& run, Delta whole) override {
    return choice(run, std::move(whole));
  }

  std::vector<OrderedJson> chunk_choices(const GenerationRun& run, Delta delta) override {
    return {choice(run, std::move(delta))};
  }

 private:
  OrderedJson choice(const GenerationRun& run, Delta delta) {
    const int32_t prompt = delta.index / request_.options.num_choices;
    const CompletionPrompt& from = request_.prompts[static_cast<size_t>(prompt)];
    const bool echo = request_.echo && !begun_.contains(delta.index);
    begun_[delta.index] = true;

    OrderedJson logprobs;
    if (request_.options.sampling.num_logprobs >= 0) {
      CompletionLogprobs builder(tokenizer_);
      if (echo) builder.add_prompt(from.ids, run.prompt_logprobs(prompt), from.text);
      builder.add(delta.entries, request_.echo ? count_characters(from.text) : 0);
      logprobs = builder.take();
    }
    OrderedJson out{{"text", echo ? from.text + delta.text : std::move(delta.text)},
                    {"index", delta.index},
                    {"logprobs", std::move(logprobs)},
                    {"finish_reason", nullptr}};
    if (delta.finish_reason != nullptr) out["finish_reason"] = delta.finish_reason;
    return out;
  }

  const Tokenizer& tokenizer_;
  const CompletionRequest& request_;
  std::map<int32_t, bool> begun_;  // choices whose prompt has been echoed
};

}  // namespace

Status completions(Call& call) {
  const ApiContext& context = call.context;
  HEARTH_ASSIGN_OR_RETURN(const OrderedJson body, parse_json(call.request.body));
  HEARTH_ASSIGN_OR_RETURN(const CompletionRequest request, read_request(context, body));
  const GenerationOptions& options = request.options;
  RunSpec spec{.requests = {}, .stop = options.stop};
  for (const CompletionPrompt& prompt : request.prompts) {
    HEARTH_ASSIGN_OR_RETURN(
        const int32_t max_tokens,
        fit_max_tokens(context, options, prompt.ids.size(), kDefaultMaxTokens, prompt.field));
    GenerateRequest generate = make_request(call, options, prompt.ids, max_tokens);
    generate.prompt_logprobs = request.echo && options.sampling.num_logprobs >= 0;
    spec.requests.push_back(std::move(generate));
  }
  CompletionFormat format(context.tokenizer, request);
  return answer_generation(call, options, std::move(spec), format);
}

}  // namespace hearth::api
