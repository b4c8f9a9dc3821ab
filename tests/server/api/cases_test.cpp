// Requests and answers recorded as data: tests/server/api/cases.

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "tests/server/api/fake_daemon.h"

namespace hearth {
namespace {

using testing::CapturedResponse;
using testing::FakeDaemon;

OrderedJson read_cases(const std::string& name) {
  std::ifstream file("tests/server/api/cases/" + name);
  REQUIRE_MESSAGE(file.good(), "run from the source root: cannot read " << name);
  return OrderedJson::parse(file);
}

TEST_CASE("every rule of the validator names the field it is about") {
  for (const OrderedJson& group : read_cases("refusals.json")) {
    for (const OrderedJson& rule : group["cases"]) {
      FakeDaemon daemon;
      daemon.context.limits.max_tokens = 32;
      OrderedJson body = group["base"];
      if (rule.contains("set")) body.update(rule["set"]);
      for (const OrderedJson& name : rule.value("drop", OrderedJson::array())) body.erase(name);
      const std::string path = group["path"];
      CAPTURE(path);
      CAPTURE(body.dump());
      const CapturedResponse response = daemon.post(path, body);
      CAPTURE(response.body);
      CHECK(response.status == rule["status"]);
      CHECK(response.content_type == "application/json");
      const OrderedJson error = response.json()["error"];
      CHECK(error["param"] == rule["param"]);
      CHECK(error["code"] == rule["code"]);
      CHECK(error["type"] == "invalid_request_error");
      CHECK_FALSE(error["message"].get<std::string>().empty());
      CHECK(daemon.service.submitted.empty());
    }
  }
}

TEST_CASE("the base of each group of refusals is accepted") {
  for (const OrderedJson& group : read_cases("refusals.json")) {
    FakeDaemon daemon;
    CAPTURE(group["path"].dump());
    CHECK(daemon.post(group["path"], group["base"]).status == 200);
  }
}

TEST_CASE("bodies that are not JSON get 400") {
  for (const OrderedJson& malformed : read_cases("malformed.json")) {
    for (const char* const path : {"/v1/chat/completions", "/v1/completions", "/tokenize",
                                   "/detokenize", "/apply-template"}) {
      FakeDaemon daemon;
      CAPTURE(malformed["name"].dump());
      const CapturedResponse response = daemon.request("POST", path, malformed["raw"]);
      CHECK(response.status == 400);
      CHECK(response.json()["error"]["code"] == "invalid_json");
    }
  }
}

}  // namespace
}  // namespace hearth
