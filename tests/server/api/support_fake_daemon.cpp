#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "tests/server/api/fake_daemon.h"

namespace hearth::testing {
namespace {

// Writes <|start|>role\ncontent<|end|> per message, tool calls as JSON, and refuses a role on
// request.
constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.content == 'refuse me' %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|start|>{{ m.role }}\n{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]"
    "{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
    "{% if mood is defined %}({{ mood }}){% endif %}";

class FakeGeneration final : public Generation {
 public:
  FakeGeneration(FakeService& service, size_t number, Script script)
      : service_(service), number_(number), events_(script.events.begin(), script.events.end()) {}
  FakeGeneration(const FakeGeneration&) = delete;
  FakeGeneration& operator=(const FakeGeneration&) = delete;
  ~FakeGeneration() override {
    if (!events_.empty()) ++service_.cancelled;
  }

  std::optional<EngineEvent> next(std::chrono::milliseconds /*timeout*/) override {
    if (events_.empty()) {
      HEARTH_CHECK(++idle_ < 1'000'000, "a script without an end, and nobody leaves");
      return std::nullopt;
    }
    std::optional<EngineEvent> event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

  void stop_choice(int32_t choice) override { service_.stopped.emplace_back(number_, choice); }

 private:
  FakeService& service_;
  size_t number_;
  int idle_ = 0;
  std::deque<std::optional<EngineEvent>> events_;
};

}  // namespace

void CapturedResponse::send(int status_code, std::string_view type, std::string text,
                            http::Headers extra) {
  HEARTH_CHECK(status == 0, "a second answer");
  status = status_code;
  content_type = type;
  body = std::move(text);
  headers = std::move(extra);
}

void CapturedResponse::begin_stream(int status_code, std::string_view type, http::Headers extra) {
  send(status_code, type, {}, std::move(extra));
  streamed = true;
}

bool CapturedResponse::write(std::string_view bytes) {
  HEARTH_CHECK(streamed, "write() before begin_stream()");
  if (client_gone()) return false;
  body += bytes;
  return true;
}

std::string CapturedResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::vector<OrderedJson> CapturedResponse::events() const {
  std::vector<OrderedJson> out;
  for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
    at += 6;
    const std::string line = body.substr(at, body.find('\n', at) - at);
    out.push_back(line == "[DONE]" ? OrderedJson(line) : OrderedJson::parse(line));
  }
  return out;
}

Result<std::unique_ptr<Generation>> FakeService::submit(GenerateRequest request) {
  if (refusal) return std::unexpected(*refusal);
  Script script = play ? play(request) : standard_script(request);
  submitted.push_back(std::move(request));
  return std::make_unique<FakeGeneration>(*this, submitted.size() - 1, std::move(script));
}

void FakeService::write_choice(const GenerateRequest& request, int32_t choice,
                               const std::vector<TokenId>& ids, FinishReason reason,
                               Script& script) {
  int32_t index = 0;
  for (const TokenId id : ids) {
    TokenEvent event{.request = 0,
                     .choice = choice,
                     .index = index++,
                     .token = id,
                     .logprob = 0.0F,
                     .top_logprobs = {}};
    if (request.sampling.num_logprobs >= 0) event.logprob = -0.5F;
    const TokenLogprob others[] = {{'x', -1.0F}, {'y', -2.0F}};
    for (int32_t i = 0; i < std::min(request.sampling.num_logprobs, 2); ++i) {
      event.top_logprobs.push_back(others[i]);
    }
    script.events.emplace_back(std::move(event));
  }
  // An end-of-generation token is counted, though it is no TokenEvent.
  const int32_t counted = index + (reason == FinishReason::kStop ? 1 : 0);
  script.events.emplace_back(FinishEvent{.request = 0,
                                         .choice = choice,
                                         .reason = reason,
                                         .completion_tokens = counted,
                                         .cached_prompt_tokens = 3});
}

Script FakeService::standard_script(const GenerateRequest& request) const {
  Script script;
  if (request.prompt_logprobs) {
    for (int32_t i = 1; i < static_cast<int32_t>(request.prompt.size()); ++i) {
      script.events.emplace_back(
          PromptLogprobEvent{.request = 0, .index = i, .logprob = -0.25F, .top_logprobs = {}});
    }
  }
  const auto room = static_cast<size_t>(request.max_tokens);
  std::vector<TokenId> ids = answer;
  const bool fits = ids.size() < room;
  if (!fits) ids.resize(room);
  for (int32_t choice = 0; choice < request.num_choices; ++choice) {
    write_choice(request, choice, ids, fits ? FinishReason::kStop : FinishReason::kLength, script);
  }
  return script;
}

FakeDaemon::FakeDaemon() : context{.tokenizer = tokenizer, .generations = service} {
  Result<ChatTemplate> parsed = ChatTemplate::parse(kTemplate);
  HEARTH_CHECK(parsed.has_value(), "the template of the tests does not parse");
  chat_template.emplace(std::move(*parsed));
  spdlog::set_level(spdlog::level::off);
  service.answer = tokenizer.encode("hello world", {.add_special = false});
  context.chat_template = &*chat_template;
  context.template_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  context.model = {.id = "tiny",
                   .aliases = {"org/tiny"},
                   .created = 1700000000,
                   .context_tokens = 64,
                   .vocab_size = tokenizer.vocab_size(),
                   .description = "a model for tests"};
  context.registry = &registry;
  context.random = [this] { return next_random++; };
}

void FakeDaemon::send(const http::Request& request, http::Response& response) {
  if (!api_) api_ = std::make_unique<Api>(context);
  api_->handle(request, response);
}

CapturedResponse FakeDaemon::request(const std::string& method, const std::string& path,
                                     const std::string& body, http::Headers headers) {
  http::Request request{.method = method,
                        .path = path,
                        .query = {},
                        .headers = std::move(headers),
                        .body = body,
                        .remote_address = "127.0.0.1",
                        .id = "test"};
  if (method == "POST" && request.header("Content-Type").empty()) {
    request.headers.emplace_back("Content-Type", "application/json");
  }
  CapturedResponse response;
  send(request, response);
  return response;
}

CapturedResponse FakeDaemon::post(const std::string& path, const OrderedJson& body) {
  return request("POST", path, body.dump());
}

}  // namespace hearth::testing
