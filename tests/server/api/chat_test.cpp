// /v1/chat/completions and /apply-template: what reaches the engine, and the prompt.

#include <doctest/doctest.h>

#include <string>

#include "tests/server/api/fake_daemon.h"

namespace hearth {
namespace {

using testing::CapturedResponse;
using testing::FakeDaemon;
using testing::FakeTokenizer;

OrderedJson user(const OrderedJson& content) { return {{"role", "user"}, {"content", content}}; }

OrderedJson chat(OrderedJson extra = OrderedJson::object()) {
  OrderedJson body{{"messages", OrderedJson::array({user("hi")})}};
  body.update(extra);
  return body;
}

std::string prompt_of(const OrderedJson& body) {
  FakeDaemon daemon;
  const CapturedResponse response = daemon.post("/apply-template", body);
  CAPTURE(response.body);
  CHECK(response.status == 200);
  return response.json()["prompt"];
}

TEST_CASE("defaults: nothing hidden changes the distribution, max_tokens is what is left") {
  FakeDaemon daemon;
  CHECK(daemon.post("/v1/chat/completions", chat()).status == 200);
  REQUIRE(daemon.service.submitted.size() == 1);
  const GenerateRequest& request = daemon.service.submitted[0];
  SamplingParams defaults;
  defaults.seed = 0;  // the first random number of the fake daemon
  CHECK(request.sampling == defaults);
  CHECK(request.num_choices == 1);
  CHECK(request.max_tokens == 64 - static_cast<int32_t>(request.prompt.size()));
  CHECK(request.stop_tokens == daemon.tokenizer.end_of_generation());
  CHECK_FALSE(request.prompt_logprobs);
}

TEST_CASE("every sampling field reaches the engine") {
  FakeDaemon daemon;
  const OrderedJson fields = OrderedJson::parse(
      R"({"model":"org/tiny","temperature":0.5,"top_p":0.25,"top_k":7,"min_p":0.125,
          "typical_p":0.75,"presence_penalty":-2,"frequency_penalty":2,"repetition_penalty":1.5,
          "logit_bias":{"7":-100,"8":0.5},"seed":-3,"n":2,"max_completion_tokens":4,
          "logprobs":true,"top_logprobs":2,"priority":3,"ignore_eos":true})");
  CHECK(daemon.post("/v1/chat/completions", chat(fields)).status == 200);
  const GenerateRequest& request = daemon.service.submitted.at(0);
  const SamplingParams expected{.temperature = 0.5F,
                                .top_k = 7,
                                .top_p = 0.25F,
                                .min_p = 0.125F,
                                .typical_p = 0.75F,
                                .repetition_penalty = 1.5F,
                                .presence_penalty = -2.0F,
                                .frequency_penalty = 2.0F,
                                .logit_bias = {{7, -100.0F}, {8, 0.5F}},
                                .seed = static_cast<uint64_t>(-3),
                                .num_logprobs = 2};
  CHECK(request.sampling == expected);
  CHECK(request.num_choices == 2);
  CHECK(request.priority == 3);
  CHECK(request.stop_tokens.empty());
  CHECK(request.max_tokens == 4);
}

TEST_CASE("fields that ask for nothing are accepted, and null is absent") {
  FakeDaemon daemon;
  const OrderedJson fields = OrderedJson::parse(
      R"({"user":"u","metadata":{"a":"b"},"safety_identifier":"s","prompt_cache_key":"k",
          "prediction":{},"service_tier":"auto","store":false,"parallel_tool_calls":true,
          "tools":[],"tool_choice":"auto","functions":[],"function_call":"none",
          "response_format":{"type":"text"},"modalities":["text"],"verbosity":"medium",
          "audio":null,"reasoning_effort":null,"temperature":null,"stop":null,"n":null,
          "logprobs":null,"top_logprobs":null,"stream":null,"stream_options":null,
          "max_tokens":null,"max_completion_tokens":null,"seed":null,"logit_bias":null,
          "model":null,"chat_template_kwargs":null})");
  CHECK(daemon.post("/v1/chat/completions", chat(fields)).status == 200);
}

TEST_CASE("the template's text is tokenized with its special tokens and one BOS") {
  FakeDaemon daemon;
  CHECK(daemon.post("/v1/chat/completions", chat()).status == 200);
  const std::vector<TokenId> expected =
      daemon.tokenizer.encode("<s><|start|>user\nhi<|end|><|start|>assistant\n",
                              {.add_special = false, .parse_special = true});
  CHECK(daemon.service.submitted.at(0).prompt == expected);
  CHECK(expected[0] == FakeTokenizer::kBos);
  CHECK(expected[1] == FakeTokenizer::kTurnStart);
}

TEST_CASE("BOS is added for a template that does not write it") {
  FakeDaemon daemon;
  daemon.context.template_tokens = {{"bos_token", ""}};
  CHECK(daemon.post("/v1/chat/completions", chat()).status == 200);
  const std::vector<TokenId>& prompt = daemon.service.submitted.at(0).prompt;
  CHECK(prompt.at(0) == FakeTokenizer::kBos);
  CHECK(prompt.at(1) == FakeTokenizer::kTurnStart);
}

TEST_CASE("roles and contents") {
  const OrderedJson body = OrderedJson::parse(
      R"({"messages":[{"role":"developer","content":"be"},
                      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
                       "name":"n"},
                      {"role":"assistant","content":"c","refusal":null,"annotations":[],
                       "reasoning_content":"r","audio":null,"function_call":null},
                      {"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},
                      {"role":"tool","tool_call_id":"1","content":"42"}]})");
  CHECK(prompt_of(body) ==
        "<s><|start|>system\nbe<|end|><|start|>user\na\nb<|end|><|start|>assistant\nc<|end|>"
        "<|start|>assistant\nno<|end|><|start|>tool\n42<|end|><|start|>assistant\n");
}

OrderedJson with_call(const std::string& arguments) {
  OrderedJson message = OrderedJson::parse(
      R"({"role":"assistant","content":null,
          "tool_calls":[{"id":"1","type":"function","function":{"name":"f"}}]})");
  message["tool_calls"][0]["function"]["arguments"] = arguments;
  return {{"messages", OrderedJson::array({std::move(message)})}, {"add_generation_prompt", false}};
}

TEST_CASE("tool calls of the past: arguments are objects where they parse, else text") {
  CHECK(prompt_of(with_call(R"({"x": 1})")) == "<s><|start|>assistant\n[f {\"x\": 1}]<|end|>");
  CHECK(prompt_of(with_call("{broken")) == "<s><|start|>assistant\n[f \"{broken\"]<|end|>");
}

TEST_CASE("a template that prints arguments as text gets text") {
  FakeDaemon daemon;
  auto parsed = ChatTemplate::parse(
      "{% for c in messages[0].tool_calls %}{{ '<' + c.function.arguments + '>' }}{% endfor %}");
  REQUIRE(parsed.has_value());
  daemon.context.chat_template = &*parsed;
  const CapturedResponse response = daemon.post("/apply-template", with_call(R"({"x":1})"));
  CHECK(response.json()["prompt"] == R"(<{"x":1}>)");
}

TEST_CASE("chat_template_kwargs, add_generation_prompt and continue_final_message") {
  CHECK(prompt_of(chat({{"chat_template_kwargs", {{"mood", "calm"}}}})) ==
        "<s><|start|>user\nhi<|end|><|start|>assistant\n(calm)");
  CHECK(prompt_of(chat({{"add_generation_prompt", false}})) == "<s><|start|>user\nhi<|end|>");
  OrderedJson open = chat({{"continue_final_message", true}});
  open["messages"].push_back({{"role", "assistant"}, {"content", "end "}});
  CHECK(prompt_of(open) == "<s><|start|>user\nhi<|end|><|start|>assistant\nend ");
}

TEST_CASE("a model without a template says why") {
  FakeDaemon daemon;
  daemon.context.chat_template = nullptr;
  daemon.context.chat_template_error = "the file has none; set --chat-template";
  const CapturedResponse response = daemon.post("/v1/chat/completions", chat());
  CHECK(response.status == 400);
  CHECK(response.body.find("--chat-template") != std::string::npos);
  CHECK(daemon.post("/v1/completions", {{"prompt", "a"}, {"n", 1}}).status == 200);
}

TEST_CASE("a template that fails on the messages is a 400 with its own words") {
  FakeDaemon daemon;
  const OrderedJson body{{"messages", OrderedJson::array({user("refuse me")})}, {"n", 1}};
  const CapturedResponse refused = daemon.post("/v1/chat/completions", body);
  CHECK(refused.body.find("roles must alternate") != std::string::npos);

  FakeDaemon broken;
  auto parsed = ChatTemplate::parse("{{ messages[0].content + 1 }}");
  REQUIRE(parsed.has_value());
  broken.context.chat_template = &*parsed;
  CHECK(broken.post("/v1/chat/completions", chat()).status == 400);
}

TEST_CASE("context_length_exceeded tells both counts") {
  FakeDaemon daemon;
  const OrderedJson body{{"prompt", std::string(70, 'x')}, {"n", 1}};
  const CapturedResponse response = daemon.post("/v1/completions", body);
  const std::string message = response.json()["error"]["message"];
  CHECK(message.find("64 tokens") != std::string::npos);
  CHECK(message.find("71 tokens") != std::string::npos);  // BOS too

  // Exactly full: BOS, 53 bytes and 10 to come.
  const OrderedJson full{{"prompt", std::string(53, 'x')}, {"max_tokens", 10}};
  CHECK(daemon.post("/v1/completions", full).status == 200);
  const OrderedJson over{{"prompt", std::string(53, 'x')}, {"max_tokens", 11}};
  CHECK(daemon.post("/v1/completions", over).status == 400);
}

TEST_CASE("the cap on tokens bounds the default") {
  FakeDaemon daemon;
  daemon.context.limits.max_tokens = 5;
  CHECK(daemon.post("/v1/chat/completions", chat()).status == 200);
  CHECK(daemon.service.submitted.at(0).max_tokens == 5);
}

}  // namespace
}  // namespace hearth
