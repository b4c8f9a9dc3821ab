// Models over several devices, and with their KV cache in host memory. The same kernels compute the
// same bits wherever the borders are; each border is crossed once a step.

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/backend/gpu.h"
#include "engine/evaluate/evaluator.h"
#include "tests/engine/backend/support_counting_device.h"
#include "tests/engine/backend/support_gpu.h"
#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

/// Of five layers: enough that three devices differ in how many they have.
std::filesystem::path deep_model(const std::string& arch, const std::string& type) {
  const std::filesystem::path path =
      tiny_model(arch, type).parent_path() / ("deep-" + arch + "-" + type + ".gguf");
  if (std::filesystem::exists(path)) return path;
  auto synth = synth_preset("tiny", arch, type);
  REQUIRE(synth.has_value());
  synth->layers = 5;
  REQUIRE(write_synthetic_model(*synth, path).has_value());
  return path;
}

EngineOptions deep_options(const std::string& arch, const std::string& type) {
  EngineOptions options;
  options.model = deep_model(arch, type);
  options.context_tokens = 64;
  options.threads = 1;
  return options;
}

Answers answers_of(const EngineOptions& options) {
  auto engine = load(options);
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 3; ++id)
    requests.push_back(make_request(id, static_cast<int32_t>(id * 13 % 40 + 1), 6));
  requests.back().num_choices = 3;  // its choices copy the page that the prompt does not fill
  return run(*engine, requests);
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double error = 0.0;
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    error = std::max(error, std::fabs(double{a[i]} - b[i]));
    largest = std::max(largest, std::fabs(double{a[i]}));
  }
  return error / largest;
}

}  // namespace

TEST_CASE("the same layers on one device, on two and on three: the same bits") {
  for (const char* arch : {"llama", "gemma2", "qwen3moe", "gpt-oss"}) {
    CAPTURE(arch);
    const EngineOptions options = deep_options(arch, "f32");
    for (const GpuLayers placed : {kAll, layers(3)}) {
      const auto one = logits_of(on_devices(options, placed, 1), 64);
      CHECK(logits_of(on_devices(options, placed, 2, {2, 1}), 64) == one);
      CHECK(logits_of(on_devices(options, placed, 3, {1, 1, 1}), 4) == one);
    }
  }
}

TEST_CASE("quantized weights over devices: the same bits, in chunks, too") {
  const EngineOptions options = deep_options("llama", "q4_0");
  const auto one = logits_of(on_devices(options, kAll, 1), 64);
  CHECK(logits_of(on_devices(options, kAll, 2, {1, 4}), 64) == one);
  CHECK(logits_of(on_devices(options, kAll, 2, {4, 1}), 1) == one);
  CHECK(logits_of(on_devices(options, kAll, 3, {2, 2, 1}), 5) == one);
}

TEST_CASE("requests over devices: the same answers, with steps replayed and pages copied") {
  EngineOptions options = deep_options("llama", "q4_0");
  options.parallel = 4;
  options.hash_logits = true;
  const Answers one = answers_of(on_devices(options, layers(4), 1));
  const EngineOptions two = on_devices(options, layers(4), 2, {3, 1});
  CHECK(answers_of(two) == one);
  EngineOptions plain = two;
  plain.gpu_graphs = false;
  CHECK(answers_of(plain) == one);
}

TEST_CASE("a KV cache in host memory: near to the other, and the same bits over devices") {
  for (const char* arch : {"llama", "gemma2", "gpt-oss"}) {
    CAPTURE(arch);
    EngineOptions options = deep_options(arch, "f32");
    const auto on_device = logits_of(on_devices(options, kAll, 1), 64);
    options.kv_offload = false;
    const auto on_host = logits_of(on_devices(options, kAll, 1), 64);
    CHECK(distance(on_device, on_host) <= 4e-3);
    CHECK(logits_of(on_devices(options, kAll, 1), 2) == on_host);
    CHECK(logits_of(on_devices(options, kAll, 2, {3, 2}), 64) == on_host);
    CHECK(logits_of(on_devices(options, kAll, 3, {1, 3, 1}), 4) == on_host);
  }
}

TEST_CASE("a KV cache in host memory: requests' bits do not depend on their neighbours") {
  EngineOptions options = deep_options("llama", "q4_0");
  options.parallel = 4;
  options.hash_logits = true;
  options.kv_offload = false;
  options.threads = 2;
  options = on_devices(options, layers(4), 2, {1, 1});
  auto engine = load(options);
  CHECK(engine->plan().kv_on_host);
  for (const DevicePlan& device : engine->plan().devices) CHECK(device.kv_bytes == 0);
  const Answers together = answers_of(options);
  Answers alone;
  for (RequestId id = 1; id <= 3; ++id) {
    GenerateRequest request = make_request(id, static_cast<int32_t>(id * 13 % 40 + 1), 6);
    if (id == 3) request.num_choices = 3;
    request.cache_salt = id;
    alone.merge(run(*engine, {request}));
  }
  CHECK(together == alone);
}

TEST_CASE("each border is crossed once a step, and the host waits for the logits alone") {
  std::array<Crossings, 2> counts;
  EngineOptions options = deep_options("llama", "f32");
  options.gpu_layers = layers(4);
  options.devices.indices = {0, 1};
  options.gpu_count = 2;
  options.split.parts = {1, 1};
  options.open_gpu = [&counts](int32_t index) -> Result<std::unique_ptr<kernels::Device>> {
    return std::make_unique<CountingDevice>(kernels::make_emulated_device({.index = index}),
                                            counts[static_cast<size_t>(index)]);
  };
  const auto count = [&counts](Evaluator& evaluator, int32_t position, bool wants_logits) {
    counts = {};
    const std::array<int32_t, 3> tokens{1, 2, 3};
    evaluator.append(0, position, tokens, wants_logits);
    return counts;
  };
  {
    const auto evaluator = Evaluator::load(options);
    REQUIRE(evaluator.has_value());
    const auto last = count(**evaluator, 0, true);
    CHECK(last[0].uploads == 1);
    CHECK(last[0].downloads == 0);
    CHECK(last[0].waits == 0);
    CHECK(last[1].uploads == 0);
    CHECK(last[1].sends == 1);
    CHECK(last[1].downloads == 1);
    CHECK(last[1].waits == 1);
    const auto inner = count(**evaluator, 3, false);  // of a longer prompt: no logits
    CHECK(inner[0].uploads == 1);
    CHECK(inner[0].waits == 0);
    CHECK(inner[1].sends == 1);
    CHECK(inner[1].downloads == 0);
    CHECK(inner[1].waits == 0);
    counts = {};
    const std::array<int32_t, 1> token{4};
    for (int32_t i = 0; i < 3; ++i) (*evaluator)->decode(6 + i, token);  // run, recorded, replayed
    CHECK(counts[0].uploads == 3);
    CHECK(counts[1].sends == 3);
    CHECK(counts[1].downloads == 3);
    CHECK(counts[0].waits + counts[1].waits == 3);
  }
  options.kv_offload = false;
  const auto evaluator = Evaluator::load(options);
  REQUIRE(evaluator.has_value());
  const auto step = count(**evaluator, 0, true);
  // Q, K and V of each of the two layers come, one attention goes; one wait for a layer.
  CHECK(step[0].downloads == 6);
  CHECK(step[0].uploads == 3);
  CHECK(step[0].waits == 2);
  CHECK(step[1].downloads == 7);
  CHECK(step[1].uploads == 2);
  CHECK(step[1].waits == 3);
}

TEST_CASE("GPUs and parts that do not match are refused by the option's name") {
  EngineOptions options = deep_options("llama", "f32");
  const auto why_not = [](const EngineOptions& wrong) {
    const auto refused = Engine::load(wrong);
    REQUIRE_FALSE(refused.has_value());
    return refused.error();
  };
  EngineOptions wrong = on_devices(options, kAll, 2, {1, 1, 1});
  CHECK(why_not(wrong).code == ErrorCode::kInvalidArgument);
  CHECK(why_not(wrong).param == "--split");
  CHECK(why_not(wrong).message ==
        "--split 1,1,1 has 3 parts, expected one for each of the 2 GPUs of --device 0,1");
  wrong = on_devices(options, kAll, 2);
  wrong.devices.indices = {0, 2};
  wrong.open_gpu = [](int32_t) { return kernels::open_cuda_device(99); };
  CHECK(why_not(wrong).param == "--device");
  CHECK(why_not(wrong).message ==
        "--device 0,2: GPU 2 is not there: this machine has 2, counted from 0");
}

TEST_CASE("with auto a GPU that cannot be used is left out; what is demanded must be there") {
  EngineOptions options = on_devices(deep_options("llama", "f32"), {GpuLayers::Kind::kAuto, 0}, 2);
  options.devices = {.all = true, .indices = {}};
  options.open_gpu = [](int32_t index) -> Result<std::unique_ptr<kernels::Device>> {
    if (index == 0) return fail(ErrorCode::kUnsupported, "GPU 0 cannot be used: it is too old");
    return kernels::make_emulated_device({.index = index});
  };
  const auto engine = Engine::load(options);
  REQUIRE(engine.has_value());
  REQUIRE((*engine)->plan().devices.size() == 1);
  CHECK((*engine)->plan().devices[0].index == 1);
  options.gpu_layers = kAll;
  CHECK_FALSE(Engine::load(options).has_value());
}

}  // namespace hearth
