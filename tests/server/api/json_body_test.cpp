#include "server/api/json_body.h"

#include <doctest/doctest.h>

#include <string>

namespace hearth::api {
namespace {

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST_CASE("values come back as they were written, members in order") {
  const std::string text = R"({"b":[1,-2,3.5,"é",null,true,{}],"a":{"x":18446744073709551615}})";
  const auto value = parse_json(text);
  REQUIRE(value.has_value());
  CHECK(to_text(*value) == text);
}

TEST_CASE("nesting is refused past the limit, before anything is built") {
  CHECK(parse_json(nested(64)).has_value());
  const auto deep = parse_json(nested(65));
  REQUIRE_FALSE(deep.has_value());
  CHECK(deep.error().code == ErrorCode::kInvalidArgument);
  CHECK(deep.error().message.find("64") != std::string::npos);
  CHECK_FALSE(parse_json(std::string(10'000'000, '[')).has_value());
}

TEST_CASE("a key that comes twice in one object is named") {
  const auto twice = parse_json(R"({"a":{"n":1},"b":{"n":1,"n":2}})");
  REQUIRE_FALSE(twice.has_value());
  CHECK(twice.error().code == ErrorCode::kMalformed);
  CHECK(twice.error().param == "n");
  CHECK(parse_json(R"({"a":{"n":1},"b":{"n":1}})").has_value());
}

TEST_CASE("numbers of values and members are bounded") {
  CHECK(parse_json("[1,2]", {.max_values = 3}).has_value());
  CHECK_FALSE(parse_json("[1,2,3]", {.max_values = 3}).has_value());
  CHECK(parse_json(R"({"a":1,"b":2})", {.max_members = 2}).has_value());
  CHECK_FALSE(parse_json(R"({"a":1,"b":2,"c":3})", {.max_members = 2}).has_value());
}

TEST_CASE("text that is not UTF-8 is refused when read and repaired when written") {
  CHECK_FALSE(parse_json("\"\xC3\x28\"").has_value());
  CHECK_FALSE(parse_json("{\"\xFF\":1}").has_value());
  CHECK_FALSE(parse_json("\"\xED\xA0\x80\"").has_value());  // a surrogate
  CHECK(to_text(OrderedJson("a\xFF")) == "\"a\uFFFD\"");
}

TEST_CASE("the message tells the byte") {
  const auto value = parse_json(R"({"a":1,})");
  REQUIRE_FALSE(value.has_value());
  CHECK(value.error().message == "the body is not valid JSON: error at byte 8");
}

}  // namespace
}  // namespace hearth::api
