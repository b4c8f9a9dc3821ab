#include "server/api/generation_answer.h"

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <map>
#include <utility>

#include "server/api/error_response.h"
#include "server/api/json_body.h"
#include "server/api/sse_stream.h"

namespace hearth::api {
namespace {

OrderedJson usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

// What every answer and every chunk of one request begins with.
class Envelope {
 public:
  Envelope(const ApiContext& context, const char* id_prefix)
      : id_(fmt::format("{}{:016x}{:016x}", id_prefix, context.random(), context.random())),
        created_(std::time(nullptr)),
        model_(context.model.id),
        fingerprint_(context.system_fingerprint) {}

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] OrderedJson wrap(const char* object, OrderedJson choices) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", model_},
            {"system_fingerprint", fingerprint_},
            {"choices", std::move(choices)}};
  }

 private:
  std::string id_;
  int64_t created_;
  const std::string& model_;
  const std::string& fingerprint_;
};

void append(Delta& whole, Delta delta) {
  whole.index = delta.index;
  whole.text += delta.text;
  std::move(delta.entries.begin(), delta.entries.end(), std::back_inserter(whole.entries));
  if (delta.finish_reason != nullptr) whole.finish_reason = delta.finish_reason;
}

void note_usage(Call& call, const Usage& usage) {
  call.log.prompt_tokens = usage.prompt_tokens;
  call.log.completion_tokens = usage.completion_tokens;
  call.log.cached_tokens = usage.cached_tokens;
}

Status answer_whole(Call& call, GenerationRun& run, const Envelope& envelope,
                    AnswerFormat& format) {
  std::map<int32_t, Delta> wholes;  // by index: choices end in any order
  while (!run.done()) {
    if (call.response.client_gone()) {
      call.log.finish = "cancelled";
      return {};
    }
    HEARTH_ASSIGN_OR_RETURN(std::vector<Delta> news, run.next(call.context.limits.poll_interval));
    for (Delta& delta : news) {
      Delta& whole = wholes[delta.index];  // before the move: arguments have no order
      append(whole, std::move(delta));
    }
  }
  OrderedJson choices = OrderedJson::array();
  for (auto& [index, whole] : wholes) choices.push_back(format.whole_choice(run, std::move(whole)));
  OrderedJson answer = envelope.wrap(format.object(), std::move(choices));
  answer["usage"] = usage_json(run.usage());
  call.log.finish = "done";
  call.response.send_json(200, answer);
  return {};
}

// A stream under way. Every member returns false if the client has gone.
class Streamer {
 public:
  Streamer(Call& call, GenerationRun& run, const Envelope& envelope, AnswerFormat& format,
           bool include_usage)
      : run_(run),
        envelope_(envelope),
        format_(format),
        include_usage_(include_usage),
        sse_(call.response, call.context.limits.ping_interval) {}

  [[nodiscard]] bool send(Delta delta) {
    for (OrderedJson& choice : format_.chunk_choices(run_, std::move(delta))) {
      OrderedJson chunk = wrap(OrderedJson::array({std::move(choice)}));
      if (include_usage_) chunk["usage"] = nullptr;
      if (!sse_.send(chunk)) return false;
    }
    return true;
  }

  [[nodiscard]] bool finish() {
    if (include_usage_) {
      OrderedJson chunk = wrap(OrderedJson::array());
      chunk["usage"] = usage_json(run_.usage());
      if (!sse_.send(chunk)) return false;
    }
    return sse_.send_done();
  }

  [[nodiscard]] SseStream& sse() { return sse_; }

 private:
  [[nodiscard]] OrderedJson wrap(OrderedJson choices) const {
    return envelope_.wrap(format_.chunk_object(), std::move(choices));
  }

  GenerationRun& run_;
  const Envelope& envelope_;
  AnswerFormat& format_;
  bool include_usage_;
  SseStream sse_;
};

Status answer_stream(Call& call, GenerationRun& run, Streamer stream) {
  call.log.finish = "cancelled";
  while (!run.done()) {
    if (call.response.client_gone() || !stream.sse().ping_if_due()) return {};
    Result<std::vector<Delta>> news = run.next(call.context.limits.poll_interval);
    if (!news) {
      call.log.finish = "failed";
      if (!stream.sse().begun()) return std::unexpected(std::move(news).error());
      // Whether the client still reads the end of a failed stream changes nothing any more.
      static_cast<void>(stream.sse().send_error(error_object(news.error())));
      return {};
    }
    for (Delta& delta : *news) {
      if (!stream.send(std::move(delta))) return {};
    }
  }
  if (stream.finish()) call.log.finish = "done";
  return {};
}

}  // namespace

GenerateRequest make_request(const Call& call, const GenerationOptions& options,
                             std::vector<TokenId> prompt, int32_t max_tokens) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.num_choices = options.num_choices;
  request.max_tokens = max_tokens;
  if (!options.ignore_eos) request.stop_tokens = call.context.tokenizer.end_of_generation();
  request.sampling = options.sampling;
  request.fairness_key = call.fairness_key;
  request.priority = options.priority;
  return request;
}

Status answer_generation(Call& call, const GenerationOptions& options, RunSpec spec,
                         AnswerFormat& format) {
  const Envelope envelope(call.context, format.id_prefix());
  call.log.generation = envelope.id();
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GenerationRun> run,
                          GenerationRun::start(call.context, std::move(spec)));
  Status status;
  if (options.stream) {
    status =
        answer_stream(call, *run, Streamer(call, *run, envelope, format, options.include_usage));
  } else {
    status = answer_whole(call, *run, envelope, format);
  }
  if (!status) call.log.finish = "failed";
  note_usage(call, run->usage());
  return status;
}

}  // namespace hearth::api
