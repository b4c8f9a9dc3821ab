#include "engine/evaluate/op_profile.h"

#include <doctest/doctest.h>

#include <map>
#include <numeric>

#include "engine/evaluate/evaluator.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

using namespace kernels;

FakeClock fake_clock;

// A table whose ops take as many microseconds as their rows, or as their sequences.
KernelTable slow_table() {
  KernelTable table;
  const auto take = [](int64_t microseconds) {
    fake_clock.advance(std::chrono::microseconds(microseconds));
  };
  static const auto spend = take;
  table.name = "slow";
  table.rms_norm = [](const ExecContext&, const RmsNormArgs& args) { spend(args.rows); };
  table.rope_table = [](const ExecContext&, const RopeTableArgs& args) { spend(args.rows); };
  table.rope = [](const ExecContext&, const RopeArgs& args) { spend(args.rows); };
  table.matmul_input = [](DType) { return MatmulInput::kF32; };
  table.matmul = [](const ExecContext&, const ActivationView& x, const MatmulArgs*, int jobs) {
    spend(x.rows * jobs);
  };
  return table;
}

WeightView view(const void* data, DType dtype, int64_t rows, int64_t cols) {
  return {.data = data,
          .dtype = dtype,
          .rows = rows,
          .cols = cols,
          .row_bytes = row_bytes(dtype, cols)};
}

std::map<std::string, OpTotal> by_name(const std::vector<OpTotal>& totals) {
  std::map<std::string, OpTotal> map;
  for (const OpTotal& total : totals) map[total.name] = total;
  return map;
}

std::unique_ptr<Evaluator> load(const std::string& arch, const std::string& type, bool profiled) {
  EngineOptions options;
  options.model = testing::tiny_model(arch, type);
  options.context_tokens = 64;
  options.threads = 2;
  auto evaluator = Evaluator::load(options, profiled);
  REQUIRE(evaluator.has_value());
  return std::move(*evaluator);
}

std::vector<int32_t> some_tokens() {
  std::vector<int32_t> tokens(40);
  std::iota(tokens.begin(), tokens.end(), 1);
  return tokens;
}

}  // namespace

TEST_CASE("op profile: time and calls are added up by name, matmuls by type") {
  const KernelTable slow = slow_table();
  OpProfile profile(slow, fake_clock);
  const KernelTable& table = profile.table();
  CHECK((table.attention == nullptr));  // as the table has none
  table.rms_norm({}, {.rows = 7, .cols = 10});
  table.rope_table({}, {.rows = 1});
  table.rope({}, {.rows = 2});
  table.rope({}, {.rows = 3});
  const float data[3] = {};
  const MatmulArgs jobs[] = {{.weight = view(&data[0], DType::kF32, 6, 32)},
                             {.weight = view(&data[1], DType::kF16, 4, 32)}};
  ActivationView x;
  x.rows = 5;
  x.cols = 32;
  table.matmul({}, x, jobs, 2);
  table.matmul({}, x, jobs, 1);
  const auto totals = by_name(profile.take());
  REQUIRE(totals.size() == 3);
  CHECK(totals.at("norm").seconds == doctest::Approx(7e-6));
  CHECK(totals.at("norm").cost.bytes == 2 * 4 * 70);
  CHECK(totals.at("rope").calls == 3);
  CHECK(totals.at("rope").seconds == doctest::Approx(6e-6));
  // Whatever shares a first matrix is one row: a model's calls always have the same jobs.
  CHECK(totals.at("matmul f32 f16").calls == 2);
  CHECK(totals.at("matmul f32 f16").seconds == doctest::Approx(15e-6));
  CHECK(totals.at("matmul f32 f16").cost.operations == 2.0 * 5 * 32 * (6 + 4) + 2.0 * 5 * 32 * 6);
  const double weights = 6 * 128 + 4 * 64 + 6 * 128;
  CHECK(totals.at("matmul f32 f16").cost.cold_bytes == weights);
  CHECK(totals.at("matmul f32 f16").cost.bytes == weights + 4.0 * 5 * (32 + 6 + 4 + 32 + 6));
  CHECK(profile.take().empty());
}

TEST_CASE("op profile: shares and the rest add up to the whole") {
  std::vector<OpTotal> totals(2);
  totals[0] = {
      .name = "a",
      .calls = 1,
      .seconds = 0.5,
      .cost = {
          .bytes = 25.0, .cold_bytes = 20.0, .operations = 30.0, .arithmetic = Arithmetic::kInt8}};
  totals[1] = {
      .name = "b", .calls = 1, .seconds = 0.25, .cost = {.bytes = 30.0, .cold_bytes = 10.0}};
  const MachineLimits limits{.read_bytes = 100.0, .f32 = 1.0, .int16 = 1.0, .int8 = 100.0};
  const auto shares = op_shares(totals, 1.0, limits);
  REQUIRE(shares.size() == 3);
  CHECK(shares[0].limit_seconds == doctest::Approx(0.3));
  CHECK(!shares[0].bound_by_memory);
  CHECK(shares[1].limit_seconds == doctest::Approx(0.1));
  CHECK(shares[1].bound_by_memory);
  CHECK(shares[2].total.name == "the rest");
  CHECK(shares[2].total.seconds == doctest::Approx(0.25));
  double sum = 0.0;
  for (const OpShare& share : shares) sum += share.share;
  CHECK(sum == doctest::Approx(1.0));
  // Without a limit, none is claimed.
  CHECK(op_shares(totals, 1.0, {})[0].limit_seconds == 0.0);
}

TEST_CASE("op profile: the costs of attention follow what its rows see") {
  const int32_t pages[1] = {0};
  const SequenceRows rows[] = {{0, 1, 99, pages}, {1, 3, 0, pages}};
  AttentionArgs args;
  args.kv = {.dtype = DType::kF16, .page_tokens = 128, .num_kv_heads = 2, .head_dim = 64};
  args.sequences = rows;
  args.num_sequences = 2;
  args.num_heads = 8;
  const double q_bytes = 2.0 * 4 * 4 * 8 * 64;  // q and out of four rows
  CHECK(cost_of(args).operations == 4.0 * 8 * 64 * (100 + 1 + 2 + 3));
  CHECK(cost_of(args).bytes == 2.0 * 2 * 128 * (100 + 3) + q_bytes);
  args.window = 10;
  CHECK(cost_of(args).operations == 4.0 * 8 * 64 * (10 + 1 + 2 + 3));
  CHECK(cost_of(args).bytes == 2.0 * 2 * 128 * (10 + 3) + q_bytes);
}

TEST_CASE("op profile: a profiled evaluator gives the same bits and accounts for every matrix") {
  for (const auto& [arch, type] :
       {std::pair{"llama", "q4_0"}, std::pair{"gemma2", "f16"}, std::pair{"qwen3moe", "q4_k"}}) {
    INFO(arch, " ", type);
    const auto plain = load(arch, type, false);
    CHECK(plain->profile() == nullptr);
    const auto expected = plain->logits(some_tokens(), 40);
    const auto timed = load(arch, type, true);
    const auto logits = timed->logits(some_tokens(), 40);
    REQUIRE(logits.has_value());
    CHECK((*logits == *expected));
    const auto totals = by_name(timed->profile()->take());
    REQUIRE(totals.contains("attention"));
    CHECK(totals.at("attention").calls == timed->config().num_layers);
    CHECK(totals.at("KV store").calls == timed->config().num_layers);
    bool has_output = false;
    for (const auto& [name, total] : totals) {
      CHECK(name.find("matmul") == std::string::npos);  // every matrix has a role
      CHECK(total.seconds >= 0.0);
      CHECK(total.cost.bytes > 0.0);
      has_output = has_output || name.starts_with("output");
    }
    CHECK(has_output);
  }
}

TEST_CASE("machine limits: all are measured where the kernels have loops") {
  const auto evaluator = load("llama", "q4_0", false);
  const MachineLimits limits = evaluator->machine_limits();
  CHECK(limits.read_bytes > 0.0);
  if (find_peak_loop("avx2", Arithmetic::kF32) == nullptr) return;
  CHECK(limits.f32 > 0.0);
  CHECK(limits.int16 > 0.0);
  CHECK(limits.int8 > 0.0);
  CHECK((find_peak_loop("ref", Arithmetic::kInt8) == nullptr));
}

TEST_CASE("machine limits: the spans of a model's weights hold every matrix once") {
  auto model = Model::load(testing::tiny_model("llama", "q8_0"));
  REQUIRE(model.has_value());
  const auto spans = weight_spans(**model);
  REQUIRE(!spans.empty());
  const auto holds = [&](const WeightView& weight) {
    const auto* begin = static_cast<const std::byte*>(weight.data);
    int count = 0;
    for (const auto span : spans)
      count +=
          begin >= span.data() &&
          begin + static_cast<size_t>(weight.rows) * weight.row_bytes <= span.data() + span.size();
    return count == 1;
  };
  for (const LayerWeights& layer : (*model)->layers()) {
    CHECK(holds(layer.q.weight));
    CHECK(holds(layer.down.weight));
  }
  CHECK(holds((*model)->output().weight));
}

}  // namespace hearth
