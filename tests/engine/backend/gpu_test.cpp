// Models with layers on a device, here the emulator: their logits are the CPU's but for rounding,
// and rule 3 (same request, same bits) holds there as well.

#include "engine/backend/gpu.h"

#include <algorithm>
#include <cmath>

#include "engine/evaluate/evaluator.h"
#include "kernels/cuda/emulator/emulator.h"
#include "tests/engine/backend/support_gpu.h"
#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

EngineOptions options_of(const std::string& arch, const std::string& type,
                         DType kv_type = DType::kF16) {
  EngineOptions options;
  options.model = tiny_model(arch, type);
  options.context_tokens = 64;
  options.kv_type = kv_type;
  options.threads = 1;
  return options;
}

double largest(const std::vector<float>& values) {
  double most = 0.0;
  for (const float value : values) most = std::max(most, std::fabs(double{value}));
  return most;
}

void check_close(const EngineOptions& options, GpuLayers placed, double tolerance) {
  const auto expected = logits_of(options, 64);
  const auto actual = logits_of(testing::on_device(options, placed), 64);
  REQUIRE(actual.size() == expected.size());
  double error = 0.0;
  for (size_t i = 0; i < actual.size(); ++i)
    error = std::max(error, std::fabs(double{actual[i]} - expected[i]));
  CHECK(error <= tolerance * largest(expected));
}

}  // namespace

TEST_CASE("every architecture: all layers on a device give the CPU's logits") {
  for (const std::string& arch : synth_architectures()) {
    CAPTURE(arch);
    check_close(options_of(arch, "f32"), kAll, 2e-3);
  }
}

TEST_CASE("types of weights and caches on a device") {
  for (const char* type : {"f16", "bf16", "q4_0", "q8_0"}) {
    CAPTURE(type);
    check_close(options_of("llama", type), kAll, 4e-2);
  }
  check_close(options_of("llama", "f32", DType::kF32), kAll, 1e-4);
  check_close(options_of("llama", "f32", DType::kQ8_0), kAll, 2e-2);
}

TEST_CASE("a step of F16 weights is as few launches as one of quantized weights") {
  const auto launches_of = [](const char* type) {
    EngineOptions options = options_of("llama", type);
    options.gpu_layers = kAll;
    options.open_gpu = [](int32_t) -> Result<std::unique_ptr<kernels::Device>> {
      return kernels::make_emulated_device();  // it alone counts launches
    };
    const int64_t before = kernels::simt::emulator::launches();
    logits_of(options, 64);
    return kernels::simt::emulator::launches() - before;
  };
  CHECK(launches_of("f16") == launches_of("q8_0"));
  CHECK(launches_of("f16") < launches_of("bf16"));  // x is rounded by a launch of its own
}

TEST_CASE("part of the layers on a device") {
  check_close(options_of("llama", "f32"), layers(1), 2e-3);
}

TEST_CASE("on a device, chunks of a prompt change no bit") {
  for (const char* type : {"f16", "q4_0"}) {
    for (const GpuLayers placed : {kAll, layers(1)}) {
      const EngineOptions options = testing::on_device(options_of("llama", type), placed);
      const auto whole = logits_of(options, 64);
      CHECK(logits_of(options, 1) == whole);
      CHECK(logits_of(options, 5) == whole);
    }
  }
}

TEST_CASE("on a device, a request's bits do not depend on the batch, the cache or its twins") {
  EngineOptions options = testing::on_device(small_options(), kAll);
  options.model = tiny_model("llama", "q4_0");
  options.hash_logits = true;
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 6; ++id)
    requests.push_back(make_request(id, static_cast<int32_t>(id * 13 % 40 + 1), 4));
  requests.back().num_choices = 3;  // its choices copy the page that the prompt does not fill
  auto engine = load(options);
  CHECK(engine->kernels().find("cuda kernels on ") != std::string::npos);
  Answers alone;
  for (GenerateRequest request : requests) {
    request.cache_salt = request.id;
    alone.merge(run(*engine, {request}));
  }
  const Answers together = run(*engine, requests);
  CHECK(together == alone);
  CHECK(run(*engine, requests) == alone);  // prompts from the cache
}

TEST_CASE("layers that do not fit the device are refused with sums and what would fit") {
  EngineOptions options = options_of("llama", "f32");
  options.parallel = 2;
  const auto model = Model::load(options.model);
  REQUIRE(model.has_value());
  const WeightSizes sizes = weight_sizes(**model);
  const int32_t num_layers = (*model)->config().num_layers;
  REQUIRE(num_layers >= 2);
  kernels::DeviceInfo info{
      .name = "a GPU", .total_bytes = uint64_t{1} << 40, .free_bytes = uint64_t{1} << 40};
  GpuOffer offer = *make_offer({info}, {uint64_t{1} << 40}, 0, **model);
  EngineOptions all = options;
  all.gpu_layers = kAll;
  const uint64_t bytes = (*model)->file().mapped_bytes();
  const auto plan = make_memory_plan(all, (*model)->config(), bytes, &offer);
  REQUIRE(plan.has_value());
  REQUIRE(plan->devices.size() == 1);
  const DevicePlan& device = plan->devices[0];
  CHECK(device.layers == LayerRange{0, num_layers, true});
  CHECK(device.weights_bytes == sizes.of({0, num_layers, true}));
  CHECK(plan->kv_bytes == 0);
  CHECK(device.kv_bytes == static_cast<uint64_t>(plan->kv_pages) * plan->page_bytes);

  offer.devices[0].budget_bytes = device.bytes() - 1;
  const auto refused = make_memory_plan(all, (*model)->config(), bytes, &offer);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(refused.error().message.find("the largest --gpu-layers that fits is " +
                                     std::to_string(num_layers - 1)) != std::string::npos);
  EngineOptions automatic = options;
  automatic.gpu_layers = {GpuLayers::Kind::kAuto, 0};
  CHECK(make_memory_plan(automatic, (*model)->config(), bytes, &offer)->device_layers() ==
        num_layers - 1);
  offer.devices[0].budget_bytes = 1;
  CHECK(make_memory_plan(automatic, (*model)->config(), bytes, &offer)->devices.empty());
}

TEST_CASE(
    "layers on a GPU that is not there are refused by the option's name; auto takes the CPU") {
  EngineOptions options = options_of("llama", "f32");
  options.open_gpu = [](int32_t) -> Result<std::unique_ptr<kernels::Device>> {
    return fail(ErrorCode::kUnsupported, "no GPU can be used: this is a test");
  };
  for (const GpuLayers demanded : {kAll, layers(1)}) {
    options.gpu_layers = demanded;
    const auto refused = Engine::load(options);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kUnsupported);
    CHECK(refused.error().message ==
          "--gpu-layers " + demanded.text() +
              " needs a GPU, and no GPU can be used: this is a test; say "
              "auto or 0");
  }
  options.gpu_layers = {GpuLayers::Kind::kAuto, 0};
  CHECK(Engine::load(options).has_value());
}

TEST_CASE("the numbers of layers as text") {
  for (const char* text : {"auto", "all", "0", "33"}) CHECK(GpuLayers::parse(text)->text() == text);
  for (const char* text : {"", "-1", "1.5", "some", "99999999999"})
    CHECK_FALSE(GpuLayers::parse(text).has_value());
}

}  // namespace hearth
