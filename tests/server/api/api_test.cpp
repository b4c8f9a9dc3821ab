// Routes, access, streams, failures and disconnects.

#include "server/api/api.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/server/api/fake_daemon.h"

namespace hearth {
namespace {

using testing::CapturedResponse;
using testing::FakeDaemon;
using testing::Script;

const OrderedJson kCompletion{{"prompt", "p"}, {"n", 1}};

TEST_CASE("routes: 404, 405 with Allow, 415") {
  FakeDaemon daemon;
  const CapturedResponse unknown = daemon.request("GET", "/v1/nothing");
  CHECK(unknown.status == 404);
  CHECK(unknown.json()["error"]["code"] == "not_found");
  const CapturedResponse method = daemon.request("GET", "/v1/completions");
  CHECK(method.status == 405);
  CHECK(method.header("Allow") == "POST");
  CHECK(daemon.request("DELETE", "/v1/models/tiny").header("Allow") == "GET, HEAD");
  CHECK(daemon.request("HEAD", "/health").status == 200);
  CHECK(daemon.request("OPTIONS", "/health").status == 405);
  const CapturedResponse type =
      daemon.request("POST", "/tokenize", R"({"text":"a"})", {{"Content-Type", "text/plain"}});
  CHECK(type.status == 415);
  CHECK(type.json()["error"]["type"] == "invalid_request_error");
  CHECK(daemon
            .request("POST", "/tokenize", R"({"text":"a"})",
                     {{"Content-Type", "Application/JSON ; charset=utf-8"}})
            .status == 200);
}

TEST_CASE("models by id and alias") {
  FakeDaemon daemon;
  const OrderedJson list = daemon.request("GET", "/v1/models").json();
  CHECK(list["object"] == "list");
  CHECK(list["data"].size() == 2);
  CHECK(list["data"][0]["max_model_len"] == 64);
  CHECK(daemon.request("GET", "/v1/models/org/tiny").json()["id"] == "org/tiny");
  const CapturedResponse none = daemon.request("GET", "/v1/models/other");
  CHECK(none.status == 404);
  CHECK(none.json()["error"]["code"] == "model_not_found");
  CHECK(daemon.request("GET", "/v1/models/").status == 404);
}

TEST_CASE("tokenize and detokenize") {
  FakeDaemon daemon;
  CHECK(daemon.post("/tokenize", {{"text", "hello"}, {"model", "tiny"}}).json()["tokens"] ==
        OrderedJson::array({260}));
  const OrderedJson counted = daemon.post("/tokenize", {{"prompt", "a"}, {"model", "tiny"}}).json();
  CHECK(counted["tokens"] == OrderedJson::array({256, 'a'}));
  CHECK(counted["count"] == 2);
  const OrderedJson pieces =
      daemon.post("/tokenize", {{"content", "\u20ac"}, {"with_pieces", true}}).json()["tokens"];
  CHECK(pieces[0]["piece"] == OrderedJson::array({0xE2, 0x82}));
  const OrderedJson ids = OrderedJson::array({256, 260, 0xFF});
  const OrderedJson text = daemon.post("/detokenize", {{"tokens", ids}, {"model", "tiny"}}).json();
  CHECK(text["content"] == "<s>hello\uFFFD");
  CHECK(text["text"] == text["content"]);
}

TEST_CASE("health follows the report; liveness does not") {
  FakeDaemon daemon;
  daemon.context.health = [] {
    return HealthReport{.status = "draining", .ready = false, .details = {{"workers", 2}}};
  };
  const CapturedResponse health = daemon.request("GET", "/health");
  CHECK(health.status == 503);
  CHECK(health.header("Retry-After") == "1");
  CHECK(health.json()["workers"] == 2);
  CHECK(health.json()["error"]["message"].get<std::string>().find("draining") != std::string::npos);
  CHECK(daemon.request("GET", "/readyz").status == 503);
  CHECK(daemon.request("GET", "/livez").status == 200);
}

TEST_CASE("requests are counted by handler, method and status") {
  FakeDaemon daemon;
  daemon.post("/v1/completions", kCompletion);
  daemon.request("BREW", "/coffee/1");
  const std::string text = daemon.request("GET", "/metrics").body;
  CHECK(text.find("http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"200\"} "
                  "1") != std::string::npos);
  CHECK(text.find("handler=\"unknown\",method=\"other\",status=\"404\"") != std::string::npos);
}

TEST_CASE("keys guard all but what probes and people need") {
  auto access = auth::AccessPolicy::create({.api_keys = {"0123456789abcdef0123456789abcdef"}});
  REQUIRE(access.has_value());
  FakeDaemon daemon;
  daemon.context.access = access->get();
  const http::Headers host{{"Host", "localhost"}};
  for (const char* const path : {"/health", "/livez", "/readyz", "/"}) {
    CHECK(daemon.request("GET", path, {}, host).status == 200);
  }
  CHECK(daemon.request("GET", "/", {}, host).body.find("tiny") == std::string::npos);
  for (const char* const path : {"/v1/models", "/metrics"}) {
    const CapturedResponse refused = daemon.request("GET", path, {}, host);
    CHECK(refused.status == 401);
    CHECK(refused.header("WWW-Authenticate") == "Bearer");
    CHECK(refused.json()["error"]["code"] == "invalid_api_key");
  }
  http::Headers keyed = host;
  keyed.emplace_back("Authorization", "Bearer 0123456789abcdef0123456789abcdef");
  keyed.emplace_back("x-gateway-inference-fairness-id", "somebody else");
  CHECK(daemon.request("POST", "/v1/completions", kCompletion.dump(), keyed).status == 200);
  CHECK(daemon.service.submitted.at(0).fairness_key.size() == 16);  // the key's id, not the header
  const CapturedResponse rebound = daemon.request("GET", "/health", {}, {{"Host", "evil.example"}});
  CHECK(rebound.status == 403);
  CHECK(rebound.json()["error"]["type"] == "permission_error");
}

TEST_CASE("without keys the gateway's header tells users apart") {
  FakeDaemon daemon;
  const http::Headers headers{{"x-gateway-inference-fairness-id", "team-a"}};
  daemon.request("POST", "/v1/completions", kCompletion.dump(), headers);
  CHECK(daemon.service.submitted.at(0).fairness_key == "team-a");
}

TEST_CASE("refusals of the service keep their status") {
  for (const bool stream : {false, true}) {
    FakeDaemon daemon;
    daemon.service.refusal = Error{ErrorCode::kResourceExhausted, "the queue is full", {}};
    const OrderedJson body{{"prompt", "p"}, {"stream", stream}};
    const CapturedResponse full = daemon.post("/v1/completions", body);
    CHECK(full.status == 429);
    CHECK(full.header("Retry-After") == "1");
    CHECK(full.json()["error"]["code"] == "rate_limit_exceeded");
  }
}

Script failing(bool after_a_token) {
  Script script;
  if (after_a_token) script.events.emplace_back(TokenEvent{.token = 'a', .top_logprobs = {}});
  script.events.emplace_back(FailEvent{.code = ErrorCode::kUnavailable, .message = "worker died"});
  return script;
}

TEST_CASE("a failure before the stream begins is a status, later an error event") {
  FakeDaemon daemon;
  const OrderedJson body{{"prompt", "p"}, {"stream", true}};
  daemon.service.play = [](const GenerateRequest&) { return failing(false); };
  const CapturedResponse early = daemon.post("/v1/completions", body);
  CHECK(early.status == 503);
  CHECK(early.header("Retry-After") == "1");
  daemon.service.play = [](const GenerateRequest&) { return failing(true); };
  const CapturedResponse late = daemon.post("/v1/completions", body);
  CHECK(late.status == 200);
  CHECK(late.body.find("event: error\ndata: {\"error\":{\"message\":\"worker died\"") !=
        std::string::npos);
  CHECK(late.body.find("[DONE]") == std::string::npos);
}

TEST_CASE("a stream says something while nothing comes") {
  FakeDaemon daemon;
  daemon.context.limits.ping_interval = std::chrono::milliseconds(0);
  daemon.service.play = [](const GenerateRequest& request) {
    Script script;
    script.events.emplace_back(std::nullopt);
    testing::FakeService::write_choice(request, 0, {'a'}, FinishReason::kLength, script);
    return script;
  };
  const OrderedJson body{{"prompt", "p"}, {"stream", true}};
  const CapturedResponse response = daemon.post("/v1/completions", body);
  CHECK(response.body.starts_with(": ping\n\n"));
  CHECK(response.body.ends_with("data: [DONE]\n\n"));
}

TEST_CASE("a client that goes away cancels, streaming or not") {
  for (const bool stream : {false, true}) {
    FakeDaemon daemon;
    daemon.service.play = [](const GenerateRequest&) {
      Script script;
      for (int i = 0; i < 100; ++i) {
        script.events.emplace_back(TokenEvent{.index = i, .token = 'a', .top_logprobs = {}});
        script.events.emplace_back(std::nullopt);
      }
      return script;
    };
    CapturedResponse response;
    if (stream) {
      response.gone_after_bytes = 300;
    } else {
      response.gone = true;
    }
    const OrderedJson body{{"prompt", "p"}, {"stream", stream}};
    daemon.send({.method = "POST",
                 .path = "/v1/completions",
                 .query = {},
                 .headers = {{"Content-Type", "application/json"}},
                 .body = body.dump(),
                 .remote_address = {},
                 .id = "x"},
                response);
    CHECK(daemon.service.cancelled == 1);
    CHECK(response.body.find("[DONE]") == std::string::npos);
  }
}

TEST_CASE("errors of the HTTP layer have the same form") {
  const OrderedJson error = OrderedJson::parse(Api::render_error(431, "headers over 64 KiB"));
  CHECK(error["error"]["message"] == "headers over 64 KiB");
  CHECK(error["error"]["type"] == "invalid_request_error");
  CHECK(error["error"]["param"].is_null());
  CHECK(OrderedJson::parse(Api::render_error(503, "x"))["error"]["type"] == "server_error");
}

}  // namespace
}  // namespace hearth
