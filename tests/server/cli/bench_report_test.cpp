#include "server/cli/bench_report.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace hearth {
namespace {

BenchResult explained_result() {
  BenchResult result;
  result.decode_tps = 50.0;
  result.batched = {{8, 200.0}};
  const std::vector<OpTotal> ops = {
      {.name = "ffn up gate q4_0",
       .calls = 20,
       .seconds = 0.06,
       .cost = {.bytes = 2.1e9,
                .cold_bytes = 2e9,
                .operations = 4e9,
                .arithmetic = kernels::Arithmetic::kInt8}},
      {.name = "norm", .calls = 40, .seconds = 0.02, .cost = {.bytes = 1e6}}};
  const MachineLimits limits{.read_bytes = 40e9, .f32 = 4e11, .int16 = 7e11, .int8 = 15e11};
  result.explained.push_back({.name = "decode",
                              .steps = 10,
                              .seconds = 0.1,
                              .limits = limits,
                              .ops = op_shares(ops, 0.1, limits)});
  return result;
}

}  // namespace

TEST_CASE("bench report: an explained phase in JSON") {
  BenchOptions options;
  options.explain = true;
  const auto json = nlohmann::json::parse(bench_json(explained_result(), "m.gguf", options));
  CHECK(json["model"] == "m.gguf");
  CHECK(json["decode_tps"] == 50.0);
  CHECK(!json.contains("prompt_tps"));
  CHECK(json["batched"][0]["n"] == 8);
  const auto& phase = json["explained"][0];
  CHECK(phase["phase"] == "decode");
  REQUIRE(phase["ops"].size() == 3);
  const auto& op = phase["ops"][0];
  CHECK(op["op"] == "ffn up gate q4_0");
  CHECK(op["calls"] == 2.0);
  CHECK(op["ms"].get<double>() == doctest::Approx(6.0));
  CHECK(op["limit"] == "read");  // 50 ms of reading against 2.7 of arithmetic
  CHECK(op["limit_share"].get<double>() == doctest::Approx(0.05 / 0.06));
  double shares = 0.0;
  for (const auto& each : phase["ops"]) shares += each["share"].get<double>();
  CHECK(shares == doctest::Approx(1.0));
  options.explain = false;
  CHECK(!nlohmann::json::parse(bench_json({}, "m.gguf", options)).contains("explained"));
}

TEST_CASE("bench report: an explained phase as a table, the largest share first") {
  BenchOptions options;
  options.explain = true;
  const std::string text = bench_text(explained_result(), options);
  CHECK(text.find("decode: 10 steps, 10.000 ms each\n") != std::string::npos);
  const size_t ffn = text.find("ffn up gate q4_0");
  const size_t rest = text.find("the rest");
  const size_t all = text.find("  all");
  REQUIRE(all != std::string::npos);
  CHECK(ffn < rest);
  CHECK(rest < all);
  CHECK(text.find("83 % of read", ffn) != std::string::npos);
  CHECK(text.find("100.0 %", all) != std::string::npos);
}

}  // namespace hearth
