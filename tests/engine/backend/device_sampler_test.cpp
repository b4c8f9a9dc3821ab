// Tokens drawn on a device, here the emulator, are those that the CPU draws, and so are their
// log-probabilities, bit for bit.

#include "engine/sampler/device_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/cuda/cuda_device.h"
#include "tests/engine/backend/support_gpu.h"
#include "tests/engine/support_engine.h"
#include "tests/support/sanitized.h"

namespace hearth {
namespace {

// Sanitizers make the emulator forty times slower.
constexpr int kSteps = hearth::testing::kSanitized ? 30 : 300;

using namespace testing;
using Random = std::mt19937;

template <typename T>
T one_of(Random& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

SamplingParams random_params(Random& random, int32_t vocab_size) {
  SamplingParams params;
  params.seed = random();
  params.temperature = one_of(random, {0.0F, 1.0F, 0.7F, 1.5F});
  params.top_k = one_of(random, {0, 0, 1, 20, vocab_size});
  params.top_p = one_of(random, {1.0F, 0.95F, 0.6F});
  params.min_p = one_of(random, {0.0F, 0.0F, 0.1F});
  params.typical_p = one_of(random, {1.0F, 1.0F, 1.0F, 0.8F});
  params.repetition_penalty = one_of(random, {1.0F, 1.0F, 1.2F});
  params.presence_penalty = one_of(random, {0.0F, 0.0F, 1.0F});
  params.frequency_penalty = one_of(random, {0.0F, 0.0F, -0.5F});
  params.num_logprobs = one_of(random, {-1, -1, 0, 3, 20});
  for (uint32_t i = random() % 4; i > 0; --i)
    params.logit_bias.emplace_back(random() % static_cast<uint32_t>(vocab_size),
                                   one_of(random, {-100.0F, 5.0F, -1.0F}));
  return params;
}

std::vector<float> random_logits(Random& random, int32_t vocab_size) {
  const auto kind = random() % 8;
  std::normal_distribution<float> normal(0.0F, kind == 0 ? 0.1F : 3.0F);
  std::vector<float> logits(static_cast<size_t>(vocab_size));
  for (float& x : logits) {
    x = normal(random);
    if (kind == 1) x = std::round(x);
    if (kind == 2 && random() % 4 == 0) x = -std::numeric_limits<float>::infinity();
    if (kind == 3 && random() % 20 == 0) x = std::numeric_limits<float>::quiet_NaN();
    if (kind == 4) x = std::numeric_limits<float>::quiet_NaN();
  }
  return logits;
}

/// A choice that goes on from step to step.
struct Stream {
  uint64_t owner;
  Sampler sampler;
  int64_t position = 0;
};

struct World {
  static constexpr int32_t kRows = 6;
  static constexpr int32_t kVocab = 1500;

  Random random{11};
  std::unique_ptr<kernels::Device> device = device_under_test();
  DeviceSampler sampler = std::move(*DeviceSampler::create(*device, kRows, kVocab));
  kernels::DeviceMemory logits =
      std::move(*device->allocate(size_t{kRows} * kVocab * sizeof(float), "logits"));
  SamplerWorkspace workspace;

  static std::unique_ptr<kernels::Device> device_under_test() {
    auto device =
        on_device({}, {}).open_gpu ? on_device({}, {}).open_gpu(0) : kernels::open_cuda_device(0);
    REQUIRE(device.has_value());
    REQUIRE((*device)->reserve(1 << 20, 64, 64, 64).has_value());
    return std::move(*device);
  }

  Stream new_stream(uint64_t owner) {
    std::vector<int32_t> prompt;
    for (uint32_t i = random() % 30; i > 0; --i)
      prompt.push_back(static_cast<int32_t>(random() % kVocab));
    return {owner, Sampler(random_params(random, kVocab), prompt, 0, kVocab)};
  }

  /// One step of these streams; a stream whose logits are unusable stays where it is.
  void step(const std::vector<Stream*>& streams) {
    std::vector<std::vector<float>> rows;
    sampler.begin_step();
    for (Stream* stream : streams) {
      rows.push_back(random_logits(random, kVocab));
      const size_t at = rows.size() - 1;
      device->upload(reinterpret_cast<float*>(logits.data()) + at * kVocab, rows[at].data(),
                     kVocab * sizeof(float));
      REQUIRE(sampler.add(stream->owner, stream->sampler, stream->position, at) ==
              static_cast<int32_t>(at));
    }
    sampler.upload(random() % 2 == 0 ? kRows : 0);
    sampler.launch(reinterpret_cast<float*>(logits.data()));
    sampler.download();
    device->wait();
    for (size_t i = 0; i < streams.size(); ++i) {
      Stream& stream = *streams[i];
      const auto actual = sampler.token(static_cast<int32_t>(i), stream.sampler);
      const auto expected = stream.sampler.sample(rows[i], stream.position, workspace);
      REQUIRE(actual.has_value() == expected.has_value());
      if (!expected.has_value()) {
        CHECK(actual.error().message == expected.error().message);
        continue;
      }
      CHECK(*actual == *expected);
      stream.sampler.accept(expected->token);
      ++stream.position;
    }
  }
};

}  // namespace

TEST_CASE("a device draws what the CPU draws, while streams come, pause and go") {
  World world;
  std::vector<Stream> streams;
  uint64_t next_owner = 1;
  for (int i = 0; i < 10; ++i) streams.push_back(world.new_stream(next_owner++));
  for (int step = 0; step < kSteps; ++step) {
    // Any six of ten: who pauses may find its lists taken over, or a few tokens behind.
    std::ranges::shuffle(streams, world.random);
    std::vector<Stream*> drawn;
    for (size_t i = 0; i < 1 + world.random() % World::kRows; ++i) drawn.push_back(&streams[i]);
    world.step(drawn);
    if (world.random() % 4 == 0) streams[9] = world.new_stream(next_owner++);
    if (world.random() % 6 == 0) streams[8].sampler.accept(3);  // a token drawn elsewhere
  }
}

TEST_CASE("what is beyond the device's lists is left to the CPU") {
  World world;
  SamplingParams params;
  params.num_logprobs = kernels::kSampleMostTop + 1;
  world.sampler.begin_step();
  CHECK(world.sampler.add(1, Sampler(params, {}, 0, World::kVocab), 0, 0) == -1);
  CHECK(world.sampler.empty());
}

TEST_CASE("whole answers: drawn on the device, replayed or not, as drawn on the CPU") {
  EngineOptions options = testing::on_device(small_options(), {GpuLayers::Kind::kAll, 0});
  options.model = tiny_model("llama", "q4_0");
  Random random(2);
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 8; ++id) {
    requests.push_back(make_request(id, static_cast<int32_t>(id * 5 % 17 + 1), 10));
    requests.back().sampling = random_params(random, 250);
  }
  requests[2].num_choices = 3;
  requests[4].prompt_logprobs = true;
  requests[4].sampling.num_logprobs = 2;
  requests[5].max_tokens = 0;
  requests[6].sampling.num_logprobs = 40;  // the CPU's
  const auto answers_with = [&](bool sampling, bool graphs, int64_t kv_tokens) {
    EngineOptions with = options;
    with.gpu_sampling = sampling;
    with.gpu_graphs = graphs;
    with.context_tokens = static_cast<int32_t>(kv_tokens);
    auto engine = load(with);
    return run(*engine, requests);
  };
  const Answers expected = answers_with(false, false, 64);
  CHECK(answers_with(true, true, 64) == expected);
  CHECK(answers_with(true, false, 64) == expected);
}

TEST_CASE("a replayed request with penalties goes on with the very token, on the device") {
  EngineOptions options = testing::on_device(small_options(), {GpuLayers::Kind::kAll, 0});
  options.model = tiny_model("llama", "q4_0");
  options.context_tokens = 64;
  GenerateRequest request = make_request(1, 6, 12);
  request.sampling.repetition_penalty = 1.4F;
  request.sampling.frequency_penalty = 0.7F;
  request.sampling.logit_bias = {{7, 2.0F}};
  auto engine = load(options);
  const Answer whole = run(*engine, {request}).at({1, 0});
  REQUIRE(whole.tokens.size() == 12);
  request.delivered = {{whole.tokens.begin(), whole.tokens.begin() + 5}};
  REQUIRE(engine->submit(request).has_value());
  std::vector<int32_t> rest;
  while (engine->has_work()) {
    engine->step();
    for (const EngineEvent& event : engine->poll())
      if (const auto* token = std::get_if<TokenEvent>(&event)) rest.push_back(token->token);
  }
  CHECK(rest == std::vector<int32_t>(whole.tokens.begin() + 5, whole.tokens.end()));
}

TEST_CASE("preempted requests with penalties change no token on the device") {
  EngineOptions options = testing::on_device(small_options(), {GpuLayers::Kind::kAll, 0});
  options.model = tiny_model("llama", "q4_0");
  std::vector<GenerateRequest> requests;
  for (RequestId id = 1; id <= 5; ++id) {
    requests.push_back(make_request(id, 24, 20));
    requests.back().sampling.repetition_penalty = 1.3F;
    requests.back().sampling.presence_penalty = 0.4F;
    requests.back().sampling.top_p = 0.9F;
  }
  options.context_tokens = 64;
  options.gpu_sampling = false;
  auto roomy = load(options);
  const Answers expected = run(*roomy, requests);
  CHECK(roomy->stats().preemptions == 0);

  const MemoryPlan& plan = roomy->plan();
  options.gpu_sampling = true;
  options.context_tokens = 0;  // open: the pool shrinks to what the budget leaves
  const DevicePlan& device = plan.devices.at(0);
  options.gpu_budget_bytes = {device.bytes() - device.kv_bytes + uint64_t{7} * plan.page_bytes};
  auto tight = load(options);
  REQUIRE(tight->plan().kv_pages < 10);
  CHECK(run(*tight, requests) == expected);
  CHECK(tight->stats().preemptions > 0);
}

}  // namespace hearth
