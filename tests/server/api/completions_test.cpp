// /v1/completions: prompts, echo, and what both endpoints' answers have in common.

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "tests/server/api/fake_daemon.h"

namespace hearth {
namespace {

using testing::CapturedResponse;
using testing::FakeDaemon;
using testing::FakeTokenizer;
using testing::Script;

std::vector<std::vector<TokenId>> prompts_of(const OrderedJson& prompt) {
  FakeDaemon daemon;
  CHECK(daemon.post("/v1/completions", {{"prompt", prompt}, {"n", 1}}).status == 200);
  std::vector<std::vector<TokenId>> prompts;
  for (const GenerateRequest& request : daemon.service.submitted) prompts.push_back(request.prompt);
  return prompts;
}

TEST_CASE("the four forms of a prompt") {
  using Prompts = std::vector<std::vector<TokenId>>;
  constexpr TokenId kBos = FakeTokenizer::kBos;
  CHECK(prompts_of("ab") == Prompts{{kBos, 'a', 'b'}});
  CHECK(prompts_of(OrderedJson::array({"a", "b"})) == Prompts{{kBos, 'a'}, {kBos, 'b'}});
  CHECK(prompts_of(OrderedJson::array({97, 98})) == Prompts{{'a', 'b'}});
  CHECK(prompts_of(OrderedJson::parse("[[97],[98,99]]")) == Prompts{{'a'}, {'b', 'c'}});
  CHECK(prompts_of("") == Prompts{{kBos}});
  CHECK(prompts_of(nullptr) == Prompts{{kBos}});
  CHECK(prompts_of("<s>a") == Prompts{{kBos, 'a'}});  // BOS once
}

TEST_CASE("max_tokens is 16 by default, less where less is left") {
  FakeDaemon daemon;
  CHECK(daemon.post("/v1/completions", {{"prompt", "a"}, {"n", 1}}).status == 200);
  CHECK(daemon.service.submitted.at(0).max_tokens == 16);
  CHECK(daemon.post("/v1/completions", {{"prompt", std::string(60, 'x')}, {"n", 1}}).status == 200);
  CHECK(daemon.service.submitted.at(1).max_tokens == 3);
}

TEST_CASE("several prompts and choices are told apart by index") {
  FakeDaemon daemon;
  daemon.service.play = [](const GenerateRequest& request) {
    Script script;
    script.events.emplace_back(std::nullopt);
    for (int32_t choice = request.num_choices - 1; choice >= 0; --choice) {
      testing::FakeService::write_choice(request, choice, {request.prompt.back(), '0' + choice},
                                         FinishReason::kLength, script);
    }
    return script;
  };
  OrderedJson body = OrderedJson::parse(R"({"prompt":["a","b"],"n":2,"best_of":2})");
  const OrderedJson answer = daemon.post("/v1/completions", body).json();
  std::vector<std::string> texts;
  for (const OrderedJson& choice : answer["choices"]) {
    CHECK(choice["index"] == texts.size());
    texts.push_back(choice["text"]);
  }
  CHECK(texts == std::vector<std::string>{"a0", "a1", "b0", "b1"});
  CHECK(answer["usage"]["prompt_tokens"] == 4);
  CHECK(answer["usage"]["completion_tokens"] == 8);

  body["stream"] = true;
  std::vector<std::string> streamed(4);
  for (const OrderedJson& event : daemon.post("/v1/completions", body).events()) {
    if (event.is_string()) continue;
    const OrderedJson& choice = event["choices"][0];
    streamed.at(choice["index"].get<size_t>()) += choice["text"].get<std::string>();
  }
  CHECK(streamed == texts);
}

TEST_CASE("a stop string ends one choice and is told to the engine once") {
  FakeDaemon daemon;
  daemon.service.answer = daemon.tokenizer.encode("abSTOPcd", {.add_special = false});
  OrderedJson body = OrderedJson::parse(R"({"prompt":"p","stop":["STOP","zzz"],"logprobs":1})");
  const OrderedJson answer = daemon.post("/v1/completions", body).json();
  const OrderedJson& choice = answer["choices"][0];
  CHECK(choice["text"] == "ab");
  CHECK(choice["finish_reason"] == "stop");
  CHECK(choice["logprobs"]["tokens"] == OrderedJson::array({"a", "b"}));
  CHECK(daemon.service.stopped == std::vector<std::pair<size_t, int32_t>>{{0, 0}});
  // Tokens behind the stop string are counted by nobody, however late the engine heard of it.
  CHECK(answer["usage"]["completion_tokens"] == 6);
}

TEST_CASE("text held back for a stop string is flushed at the end") {
  FakeDaemon daemon;
  daemon.service.answer = {'a', 'S', 'T'};
  OrderedJson body = OrderedJson::parse(R"({"prompt":"p","stop":"STOP","stream":true})");
  std::string text;
  for (const OrderedJson& event : daemon.post("/v1/completions", body).events()) {
    if (event.is_object()) text += event["choices"][0]["text"].get<std::string>();
  }
  CHECK(text == "aST");
}

TEST_CASE("a failed generation does not matter once all choices have been cut") {
  FakeDaemon daemon;
  daemon.service.play = [](const GenerateRequest&) {
    Script script;
    script.events.emplace_back(TokenEvent{.token = 'a', .top_logprobs = {}});
    script.events.emplace_back(TokenEvent{.index = 1, .token = 'S', .top_logprobs = {}});
    script.events.emplace_back(FailEvent{.code = ErrorCode::kUnavailable, .message = "died"});
    return script;
  };
  const CapturedResponse response =
      daemon.post("/v1/completions", {{"prompt", "p"}, {"stop", "S"}});
  CHECK(response.status == 200);
  CHECK(response.json()["choices"][0]["text"] == "a");
}

TEST_CASE("echo gives the prompt back, with logprobs its log-probabilities") {
  FakeDaemon daemon;
  daemon.service.answer = {'z'};
  OrderedJson body = OrderedJson::parse(R"({"prompt":"hé","echo":true,"logprobs":0})");
  const OrderedJson choice = daemon.post("/v1/completions", body).json()["choices"][0];
  CHECK(daemon.service.submitted.at(0).prompt_logprobs);
  CHECK(choice["text"] == "héz");
  const OrderedJson expected = OrderedJson::parse(R"({
    "tokens":["<s>","h","bytes:\\xc3","bytes:\\xa9","z"],
    "token_logprobs":[null,-0.25,-0.25,-0.25,-0.5],
    "top_logprobs":[null,{"h":-0.25},{"bytes:\\xc3":-0.25},{"bytes:\\xa9":-0.25},{"z":-0.5}],
    "text_offset":[0,0,1,2,2]})");
  CHECK(choice["logprobs"].dump() == expected.dump());
}

TEST_CASE("max_tokens 0 with echo scores the prompt and generates nothing") {
  FakeDaemon daemon;
  OrderedJson body =
      OrderedJson::parse(R"({"prompt":[97,98],"echo":true,"logprobs":1,"max_tokens":0})");
  const OrderedJson answer = daemon.post("/v1/completions", body).json();
  CHECK(daemon.service.submitted.at(0).max_tokens == 0);
  CHECK(answer["choices"][0]["text"] == "ab");
  CHECK(answer["choices"][0]["finish_reason"] == "length");
  CHECK(answer["choices"][0]["logprobs"]["tokens"] == OrderedJson::array({"a", "b"}));
  CHECK(answer["usage"]["completion_tokens"] == 0);
}

TEST_CASE("what the model writes never fails a request") {
  FakeDaemon daemon;
  daemon.service.answer = {0xFF, 0xC3, 'a', 0, FakeTokenizer::kTurnStart, 0xF0, 0x9F};
  for (const bool stream : {false, true}) {
    const CapturedResponse response =
        daemon.post("/v1/completions", {{"prompt", "p"}, {"logprobs", 2}, {"stream", stream}});
    CHECK(response.status == 200);
    CHECK(response.body.find("error") == std::string::npos);
  }
}

TEST_CASE("log-probabilities that JSON has no number for") {
  FakeDaemon daemon;
  daemon.service.play = [](const GenerateRequest&) {
    Script script;
    script.events.emplace_back(TokenEvent{.token = 'a', .logprob = -INFINITY, .top_logprobs = {}});
    script.events.emplace_back(FinishEvent{.completion_tokens = 1});
    return script;
  };
  const CapturedResponse response =
      daemon.post("/v1/completions", {{"prompt", "p"}, {"logprobs", 0}});
  CHECK(response.json()["choices"][0]["logprobs"]["token_logprobs"][0] == -9999.0);
}

TEST_CASE("the hash of a token's logits is shown with its log-probability, if there is one") {
  FakeDaemon daemon;
  daemon.service.play = [](const GenerateRequest&) {
    Script script;
    script.events.emplace_back(
        TokenEvent{.token = 'a', .top_logprobs = {}, .logits_hash = 0xABCDEF});
    script.events.emplace_back(FinishEvent{.completion_tokens = 1});
    return script;
  };
  OrderedJson body = {{"prompt", "p"}, {"logprobs", 0}};
  OrderedJson choice = daemon.post("/v1/completions", body).json()["choices"][0];
  CHECK(choice["logprobs"]["logits_hash"] == OrderedJson::array({"0000000000abcdef"}));
  body = {{"messages", {{{"role", "user"}, {"content", "p"}}}}, {"logprobs", true}};
  choice = daemon.post("/v1/chat/completions", body).json()["choices"][0];
  CHECK(choice["logprobs"]["content"][0]["logits_hash"] == "0000000000abcdef");
}

}  // namespace
}  // namespace hearth
