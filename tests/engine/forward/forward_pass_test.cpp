#include "engine/forward/forward_pass.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/evaluate/evaluator.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

using testing::tiny_model;

EngineOptions options_of(const std::string& arch, int32_t context_tokens) {
  EngineOptions options;
  options.model = tiny_model(arch);
  options.context_tokens = context_tokens;
  options.kv_type = DType::kF32;
  options.threads = 1;
  return options;
}

std::vector<float> logits_of(const std::string& arch, int32_t context_tokens,
                             const std::vector<int32_t>& tokens) {
  auto evaluator = Evaluator::load(options_of(arch, context_tokens));
  REQUIRE_MESSAGE(evaluator.has_value(), (evaluator.has_value() ? "" : evaluator.error().message));
  const auto logits = (*evaluator)->logits(tokens, 64);
  REQUIRE(logits.has_value());
  return *logits;
}

std::vector<int32_t> some_tokens(size_t count) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(i * 37 % 300));
  return tokens;
}

}  // namespace

TEST_CASE("every architecture gives finite logits that depend on the order of the tokens") {
  for (const std::string& arch : synth_architectures()) {
    CAPTURE(arch);
    std::vector<int32_t> tokens = some_tokens(30);
    const auto logits = logits_of(arch, 64, tokens);
    const size_t vocab = logits.size() / tokens.size();
    CHECK(std::ranges::all_of(logits, [](float x) { return std::isfinite(x); }));
    std::swap(tokens[2], tokens[12]);
    const auto swapped = logits_of(arch, 64, tokens);
    CHECK(std::equal(logits.begin(), logits.begin() + static_cast<ptrdiff_t>(2 * vocab),
                     swapped.begin()));
    CHECK_FALSE(std::equal(logits.end() - static_cast<ptrdiff_t>(vocab), logits.end(),
                           swapped.end() - static_cast<ptrdiff_t>(vocab)));
  }
}

TEST_CASE("longrope: the context that is served decides about the frequencies, at every position") {
  const std::vector<int32_t> tokens = some_tokens(20);
  const auto first = logits_of("phi3", 64, tokens);
  CHECK(first == logits_of("phi3", 128, tokens));  // the first context of the synthetic model
  const auto longer = logits_of("phi3", 129, tokens);
  CHECK(first != longer);
  CHECK(longer == logits_of("phi3", 1000, tokens));
}

TEST_CASE("learned positions: a longer context is refused before anything is allocated") {
  const int32_t learned = 2048;  // of the synthetic model
  CHECK(logits_of("gpt2", learned, some_tokens(3)).size() == 3 * 512);
  const auto refused = Evaluator::load(options_of("gpt2", learned + 1));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK(refused.error().param == "ctx");
  CHECK(refused.error().message.find("2048") != std::string::npos);
}

TEST_CASE("the workspace of experts grows with the experts that a token uses") {
  const auto model = Model::load(tiny_model("mixtral"));
  REQUIRE(model.has_value());
  ModelConfig config = (*model)->config();
  const ForwardLimits limits{.rows = 64, .logit_rows = 4};
  const uint64_t two = ForwardPass::workspace_bytes(config, limits);
  config.experts.used = 4;
  const uint64_t four = ForwardPass::workspace_bytes(config, limits);
  // Each slot holds a row, and gate and up of an expert, besides int8 copies.
  const auto slots =
      static_cast<uint64_t>(64 * 2 * (config.hidden_size + 2 * config.experts.ffn_size));
  CHECK(four - two >= slots * sizeof(float));
  CHECK(four - two <= 2 * slots * sizeof(float));
}

}  // namespace hearth
