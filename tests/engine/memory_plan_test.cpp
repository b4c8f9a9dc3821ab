// Plans for several GPUs: sums that add up, budgets that are kept, and more memory is never less.

#include "engine/memory_plan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "engine/engine.h"
#include "engine/kv_cache/kv_cache.h"
#include "engine/model/model.h"
#include "tests/support/temp_model.h"

namespace hearth {
namespace {

constexpr int32_t kLayers = 12;
constexpr uint64_t kMiB = uint64_t{1} << 20;

/// The description of a small model with more layers than its file has: the plan reads no weights.
ModelConfig config_of_many_layers() {
  auto model = Model::load(testing::tiny_model());
  REQUIRE(model.has_value());
  ModelConfig config = (*model)->config();
  config.num_layers = kLayers;
  return config;
}

class Plans {
 public:
  Plans() {
    options.memory_limit_bytes = 4096 * kMiB;
    offer.weights.layers.resize(kLayers);
    for (uint64_t& bytes : offer.weights.layers) bytes = (5 + random() % 20) * kMiB;
    offer.weights.output = (5 + random() % 60) * kMiB;
  }
  void offer_devices(size_t count, uint64_t largest_mib) {
    offer.devices.clear();
    for (size_t i = 0; i < count; ++i)
      offer.devices.push_back({.name = "a GPU",
                               .index = static_cast<int32_t>(i),
                               .total_bytes = largest_mib * kMiB,
                               .budget_bytes = random() % (largest_mib * kMiB),
                               .context_bytes = 10 * kMiB});
  }
  MemoryPlan plan() const {
    auto plan = size_memory_plan(options, config, 300 * kMiB, &offer);
    REQUIRE(plan.has_value());
    return *plan;
  }

  std::mt19937 random{7};
  ModelConfig config = config_of_many_layers();
  EngineOptions options;
  GpuOffer offer;
};

void check_sums(const MemoryPlan& plan, const Plans& plans) {
  const int32_t layers = plan.device_layers();
  int32_t at = kLayers - layers;
  uint64_t kv_bytes = plan.kv_bytes;
  for (const DevicePlan& device : plan.devices) {
    CHECK(device.layers.num_layers > 0);
    CHECK(device.layers.first_layer == at);
    at = device.layers.end();
    CHECK(device.layers.has_output == (&device == &plan.devices.back()));
    CHECK(device.weights_bytes == plans.offer.weights.of(device.layers));
    CHECK(device.bytes() == device.weights_bytes + static_cast<uint64_t>(device.workers) *
                                                       (device.kv_bytes + device.activation_bytes +
                                                        device.context_bytes));
    kv_bytes += device.kv_bytes;
  }
  if (!plan.devices.empty()) CHECK(at == kLayers);
  CHECK(plan.devices.size() + plan.unused.size() == (layers == 0 ? 0 : plans.offer.devices.size()));
  CHECK(kv_bytes == static_cast<uint64_t>(plan.kv_pages) * plan.page_bytes);
  if (plan.kv_on_host && layers > 0) CHECK(plan.kv_bytes == kv_bytes);
}

}  // namespace

TEST_CASE("plans for GPUs: sums add up, and what fits keeps every budget") {
  Plans plans;
  int fitting = 0;
  for (int round = 0; round < 300; ++round) {
    plans.offer_devices(1 + plans.random() % 4, 600);
    plans.offer.workers = static_cast<int32_t>(1 + plans.random() % 3);
    plans.options.kv_offload = plans.random() % 4 != 0;
    plans.options.context_tokens = plans.random() % 2 == 0 ? 0 : 512;
    plans.options.parallel = static_cast<int32_t>(plans.random() % 3) * 4;
    plans.options.split.parts.clear();
    if (plans.random() % 4 == 0)
      for (size_t i = 0; i < plans.offer.devices.size(); ++i)
        plans.options.split.parts.push_back(static_cast<double>(1 + plans.random() % 3));
    const int32_t wanted = static_cast<int32_t>(plans.random() % (kLayers + 1));
    for (const GpuLayers layers :
         {GpuLayers{GpuLayers::Kind::kAuto, 0}, GpuLayers{GpuLayers::Kind::kCount, wanted},
          GpuLayers{GpuLayers::Kind::kAll, 0}}) {
      plans.options.gpu_layers = layers;
      const MemoryPlan plan = plans.plan();
      check_sums(plan, plans);
      if (layers.kind == GpuLayers::Kind::kCount) CHECK(plan.device_layers() == wanted);
      if (layers.kind == GpuLayers::Kind::kAuto) {
        CHECK(plan.device_layers() == plan.most_device_layers);
        CHECK(plan.fits());
      }
      // A number that fits is not above the most that do, by which others are refused.
      if (plan.fits() && plans.options.context_tokens > 0)
        CHECK(plan.device_layers() <= plan.most_device_layers);
      if (!plan.fits()) continue;
      ++fitting;
      for (const DevicePlan& device : plan.devices) CHECK(device.bytes() <= device.budget_bytes);
      CHECK(plan.kv_bytes + plan.activation_bytes <= plan.own_budget());
    }
  }
  CHECK(fitting > 300);
}

TEST_CASE("plans for GPUs: with more memory nothing gets smaller") {
  Plans plans;
  for (int round = 0; round < 100; ++round) {
    plans.offer_devices(1 + plans.random() % 4, 500);
    plans.options.kv_offload = plans.random() % 4 != 0;
    plans.options.parallel = 4;
    const auto grow = [&] {
      for (DeviceOffer& device : plans.offer.devices)
        device.budget_bytes += plans.random() % (60 * kMiB);
    };
    const auto check = [&](GpuLayers layers, int32_t context_tokens, auto&& measure) {
      const std::vector<DeviceOffer> offered = plans.offer.devices;
      plans.options.gpu_layers = layers;
      plans.options.context_tokens = context_tokens;
      auto before = measure(plans.plan());
      for (int i = 0; i < 4; ++i) {
        grow();
        const auto now = measure(plans.plan());
        CHECK(now >= before);
        before = now;
      }
      plans.offer.devices = offered;
    };
    check({GpuLayers::Kind::kAuto, 0}, 512,
          [](const MemoryPlan& plan) { return int64_t{plan.most_device_layers}; });
    check({GpuLayers::Kind::kAll, 0}, 512,
          [](const MemoryPlan& plan) { return int64_t{plan.largest_context()}; });
    check({GpuLayers::Kind::kAll, 0}, 0, [](const MemoryPlan& plan) { return plan.kv_pages; });
  }
}

TEST_CASE("plans for GPUs: the largest context fits, and no larger one") {
  Plans plans;
  int compared = 0;
  for (int round = 0; round < 60; ++round) {
    plans.offer_devices(1 + plans.random() % 3, 900);
    plans.options.gpu_layers = {GpuLayers::Kind::kCount,
                                static_cast<int32_t>(1 + plans.random() % kLayers)};
    plans.options.parallel = 2;
    plans.options.context_tokens = 64;
    const int32_t largest = plans.plan().largest_context();
    if (largest == 0) continue;
    ++compared;
    plans.options.context_tokens = largest;
    CHECK(plans.plan().fits());
    plans.options.context_tokens = largest + 1;
    CHECK_FALSE(plans.plan().fits());
  }
  CHECK(compared > 10);
}

TEST_CASE("what does not fit is refused with the sums of each GPU and what would fit") {
  Plans plans;
  plans.offer_devices(2, 1);
  plans.offer.devices[0].budget_bytes = 140 * kMiB;
  plans.offer.devices[1].budget_bytes = 150 * kMiB;
  plans.options.gpu_layers = {GpuLayers::Kind::kAll, 0};
  plans.options.context_tokens = 512;
  plans.options.parallel = 4;
  const auto refused = make_memory_plan(plans.options, plans.config, 300 * kMiB, &plans.offer);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kResourceExhausted);
  CHECK(refused.error().param == "gpu-layers");
  const std::string& why = refused.error().message;
  CAPTURE(why);
  CHECK(why.find("of 140 MiB that a worker may use") != std::string::npos);
  CHECK(why.find("; nor a GPU: ") != std::string::npos);
  CHECK(why.find("of 150 MiB that a worker may use") != std::string::npos);
  plans.options.gpu_layers = {GpuLayers::Kind::kAuto, 0};
  const int32_t most = plans.plan().device_layers();
  CHECK(most > 0);
  CHECK(why.find("the largest --gpu-layers that fits is " + std::to_string(most)) !=
        std::string::npos);
}

TEST_CASE("a KV cache in host memory lets more layers on the GPUs, or larger contexts") {
  Plans plans;
  plans.offer_devices(2, 1);
  for (DeviceOffer& device : plans.offer.devices) device.budget_bytes = 240 * kMiB;
  plans.options.gpu_layers = {GpuLayers::Kind::kAuto, 0};
  plans.options.parallel = 16;
  plans.options.context_tokens = 16'384;
  const MemoryPlan on_device = plans.plan();
  plans.options.kv_offload = false;
  const MemoryPlan on_host = plans.plan();
  CHECK(on_host.kv_on_host);
  CHECK(on_host.device_layers() > on_device.device_layers());
  CHECK(on_host.kv_bytes == static_cast<uint64_t>(on_host.kv_pages) * on_host.page_bytes);
  CHECK(on_host.activation_bytes > on_device.activation_bytes);  // Q, K, V and attention cross
}

}  // namespace hearth
