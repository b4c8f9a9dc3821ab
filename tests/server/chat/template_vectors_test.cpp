// The reference renderings of ../shared/vectors/templates.

#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "server/chat/chat_template.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;
const fs::path kFolder = "../shared/vectors/templates";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

int64_t parse_time(const std::string& text) {
  std::tm time{};
  REQUIRE(strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time) != nullptr);
  return timegm(&time);
}

struct Counts {
  int exact = 0, raised = 0, same_error = 0, rendered = 0;
};

/// Compares one outcome with the reference's. Run-time errors of the reference are informative.
void check(const OrderedJson& expected, const Result<std::string>& got, const std::string& what,
           Counts& counts) {
  INFO(what);
  if (expected.contains("expected")) {
    REQUIRE_MESSAGE(got.has_value(), (got.has_value() ? "" : got.error().message));
    CHECK(*got == expected["expected"].get<std::string>());
    counts.exact += *got == expected["expected"].get<std::string>() ? 1 : 0;
    return;
  }
  const OrderedJson& error = expected["error"];
  if (error["kind"] == "raised") {
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().code == ErrorCode::kInvalidArgument);
    CHECK(got.error().message == error["message"].get<std::string>());
    ++counts.raised;
  } else if (got.has_value()) {
    ++counts.rendered;
  } else {
    CHECK(got.error().code != ErrorCode::kInternal);
    bool same = got.error().message.ends_with(error["message"].get<std::string>());
    if (!same) MESSAGE(what << ": " << got.error().message << " | " << error["message"]);
    ++counts.same_error;
  }
}

TEST_CASE("real chat templates render as the reference does") {
  if (!fs::exists(kFolder)) {
    MESSAGE("no ../shared/vectors/templates: the reference renderings are not checked");
    return;
  }
  Counts counts;
  int templates = 0;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".json" || entry.path().filename() == "jinja_units.json") {
      continue;
    }
    OrderedJson vectors = OrderedJson::parse(read_file(entry.path()));
    std::string file = vectors["template_file"];
    auto parsed = ChatTemplate::parse(read_file(kFolder / file));
    REQUIRE_MESSAGE(parsed.has_value(), file, (parsed.has_value() ? "" : parsed.error().message));
    ++templates;
    for (const OrderedJson& test : vectors["cases"]) {
      ChatTemplateInput input;
      input.messages = test["messages"];
      input.tools = test["tools"];
      input.add_generation_prompt = test["add_generation_prompt"];
      input.kwargs = test["kwargs"];
      input.tokens = vectors["tokens"];
      input.now_unix_seconds = parse_time(vectors["now"]);
      check(test, parsed->render(input), file + " " + test["name"].get<std::string>(), counts);
    }
  }
  MESSAGE(templates << " templates: " << counts.exact << " cases exact, " << counts.raised
                    << " raised as expected; informative: " << counts.same_error
                    << " refused as the reference does, " << counts.rendered << " rendered");
}

TEST_CASE("snippets of the template language evaluate as the reference does") {
  if (!fs::exists(kFolder / "jinja_units.json")) {
    MESSAGE("no ../shared/vectors/templates/jinja_units.json: the snippets are not checked");
    return;
  }
  OrderedJson vectors = OrderedJson::parse(read_file(kFolder / "jinja_units.json"));
  Counts counts;
  for (const OrderedJson& unit : vectors["units"]) {
    std::string source = unit["template"];
    auto parsed = ChatTemplate::parse(source);
    Result<std::string> got =
        parsed.has_value() ? parsed->render_context(vectors["context"], parse_time(vectors["now"]))
                           : Result<std::string>(std::unexpected(parsed.error()));
    check(unit, got, source, counts);
  }
  MESSAGE("units: " << counts.exact << " exact, " << counts.raised << " raised; informative: "
                    << counts.same_error << " refused, " << counts.rendered << " rendered");
}

}  // namespace
}  // namespace hearth
