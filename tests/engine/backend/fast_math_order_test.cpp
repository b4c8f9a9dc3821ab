// --fast-math-order: what it changes, and that otherwise nothing is another.

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "engine/backend/gpu.h"
#include "engine/memory_plan.h"
#include "tests/engine/backend/support_gpu.h"
#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

EngineOptions options_of(const std::string& type, bool fast) {
  EngineOptions options = testing::on_device(small_options(), testing::kAll);
  options.model = tiny_model("llama", type);
  options.hash_logits = true;
  options.fast_math_order = fast;
  return options;
}

/// Whether the device has a library; a GPU's machine may have none.
bool has_library(const Engine& engine) {
  return engine.kernels().find("(--fast-math-order)") != std::string::npos;
}

/// The answers to a prompt of more rows than our kernels keep.
Run long_prompt(const EngineOptions& options) {
  return run_all(*load(options), {make_request(1, 70, 3)});
}

}  // namespace

TEST_CASE("fast math order: a prompt of many rows has other bits, and is as right") {
  for (const char* type : {"f16", "bf16"}) {
    CAPTURE(type);
    if (!has_library(*load(options_of(type, true)))) {
      MESSAGE("no library here");
      return;
    }
    const Answer fast = long_prompt(options_of(type, true)).answers.at({1, 0});
    const Answer plain = long_prompt(options_of(type, false)).answers.at({1, 0});
    CHECK(fast.logits != plain.logits);
    REQUIRE(fast.tokens.front() == plain.tokens.front());
    CHECK(std::fabs(fast.logprobs.front() - plain.logprobs.front()) < 0.02F);
  }
}

TEST_CASE("fast math order: few rows, and types with kernels of their own, keep their bits") {
  EngineOptions fast = options_of("f16", true);
  EngineOptions plain = options_of("f16", false);
  fast.prefill_chunk = plain.prefill_chunk = 30;
  CHECK(long_prompt(fast).answers == long_prompt(plain).answers);
  CHECK(long_prompt(options_of("q8_0", true)).answers ==
        long_prompt(options_of("q8_0", false)).answers);
}

TEST_CASE("fast math order: without a library our kernels go on") {
  EngineOptions options = options_of("f16", true);
  options.open_gpu = [](int32_t) -> Result<std::unique_ptr<kernels::Device>> {
    return kernels::make_emulated_device({.why_no_gemm = "it is not installed"});
  };
  CHECK_FALSE(has_library(*load(options)));
  const Run without = long_prompt(options);
  options.fast_math_order = false;
  CHECK(without.answers == long_prompt(options).answers);
}

TEST_CASE("fast math order: with no layers on a GPU it changes nothing") {
  EngineOptions options = options_of("f16", true);
  options.gpu_layers = testing::layers(0);
  CHECK_FALSE(has_library(*load(options)));
  const Run with = long_prompt(options);
  options.fast_math_order = false;
  CHECK(with.answers == long_prompt(options).answers);
}

TEST_CASE("fast math order: steps of many sequences are replayed") {
  constexpr int32_t kSequences = 96;  // a size of decode steps: none is padded
  EngineOptions options = options_of("f16", true);
  options.parallel = kSequences;
  options.context_tokens = 16;
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= kSequences; ++id) requests.push_back(make_request(id, 1, 5));
  const Run recorded = run_all(*load(options), requests);
  options.gpu_graphs = false;
  CHECK(recorded.answers == run_all(*load(options), requests).answers);
}

TEST_CASE("fast math order: the plan has the library's memory") {
  EngineOptions options = options_of("f16", false);
  const auto model = Model::load(options.model);
  REQUIRE(model.has_value());
  const kernels::DeviceInfo info{
      .name = "a GPU", .total_bytes = uint64_t{1} << 40, .free_bytes = uint64_t{1} << 40};
  const GpuOffer offer = *make_offer({info}, {uint64_t{1} << 40}, 0, **model);
  const auto activation_bytes = [&] {
    const auto plan =
        make_memory_plan(options, (*model)->config(), (*model)->file().mapped_bytes(), &offer);
    REQUIRE(plan.has_value());
    return plan->devices.at(0).activation_bytes;
  };
  const uint64_t plain = activation_bytes();
  options.fast_math_order = true;
  CHECK(activation_bytes() > plain + kernels::kGemmLibraryBytes);
}

}  // namespace hearth
