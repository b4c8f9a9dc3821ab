// One copy of a model's device weights for several processes; here several engines of one process,
// whose exchange is played by the test.

#include "engine/backend/device_weights.h"

#include <fcntl.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "engine/backend/gpu.h"
#include "tests/engine/backend/support_gpu.h"
#include "tests/engine/support_engine.h"

namespace hearth {
namespace {

using namespace testing;

/// What the gateway and the socket do, with what happened.
class TestExchange final : public WeightsExchange {
 public:
  Result<std::optional<UniqueFd>> acquire(const WeightsLayout& layout) override {
    asked.push_back(layout);
    if (!held) return std::nullopt;
    return UniqueFd(::fcntl(held->get(), F_DUPFD_CLOEXEC, 0));
  }
  Status publish(const WeightsLayout& layout, UniqueFd memory) override {
    CHECK(layout == asked.back());
    held.emplace(std::move(memory));
    ++uploads;
    return {};
  }
  Status reject(const WeightsLayout& layout, const std::string& why) override {
    CHECK(layout == asked.back());
    CHECK_FALSE(why.empty());
    ++rejections;
    if (forgets) held.reset();
    return {};
  }
  Status progress(uint64_t done, uint64_t total) override {
    last_done = done;
    last_total = total;
    if (fails) return fail(ErrorCode::kUnavailable, "the gateway ends");
    return {};
  }

  std::optional<UniqueFd> held;
  std::vector<WeightsLayout> asked;
  bool forgets = true;  // what was rejected
  bool fails = false;
  int uploads = 0;
  int rejections = 0;
  uint64_t last_done = 0;
  uint64_t last_total = 0;
};

EngineOptions shared_options(TestExchange& exchange, GpuLayers placed = {GpuLayers::Kind::kAll}) {
  EngineOptions options = testing::on_device(small_options(), placed);
  options.model = tiny_model("llama", "q8_0");
  options.hash_logits = true;
  options.gpu_sharers = 2;
  options.weights_exchange = &exchange;
  return options;
}

uint64_t all_weights(const Model& model) {
  return weight_sizes(model).of({0, model.config().num_layers, true});
}

Answers answers_of(Engine& engine) { return run(engine, {make_request(1, 9), make_request(2, 3)}); }

}  // namespace

TEST_CASE("shared weights: the first engine uploads, the next map, and all answer alike") {
  TestExchange exchange;
  const EngineOptions options = shared_options(exchange);
  EngineOptions own = options;
  own.gpu_sharers = 0;
  const Answers expected = answers_of(*load(own));
  CHECK(exchange.asked.empty());
  CHECK(exchange.last_done == exchange.last_total);  // progress is told of copies, too
  CHECK(exchange.last_total > 0);
  auto first = load(options);
  CHECK(exchange.uploads == 1);
  exchange.last_done = 0;
  auto second = load(options);
  CHECK(exchange.uploads == 1);
  CHECK(exchange.last_done == 0);  // nothing was loaded
  CHECK(answers_of(*first) == expected);
  CHECK(answers_of(*second) == expected);
  first.reset();
  second.reset();
  CHECK(answers_of(*load(options)) == expected);  // the exchange alone has kept them
  CHECK(exchange.uploads == 1);
  REQUIRE(exchange.asked.size() == 3);
  CHECK(exchange.asked[0] == exchange.asked[2]);
  CHECK(exchange.asked[0].bytes == all_weights(**Model::load(options.model)));
}

TEST_CASE("the layout tells files, placements and models apart") {
  TestExchange exchange;
  EngineOptions options = shared_options(exchange);
  (void)load(options);
  options.gpu_layers = {GpuLayers::Kind::kCount, 1};
  exchange.held.reset();
  (void)load(options);
  REQUIRE(exchange.asked.size() == 2);
  const WeightsLayout all = exchange.asked[0];
  const WeightsLayout one = exchange.asked[1];
  CHECK(one.first_layer > all.first_layer);
  CHECK(one.bytes < all.bytes);
  CHECK(one.checksum != all.checksum);
  CHECK(one.model == all.model);
  CHECK(one.device == all.device);

  // The same tensors in a file that was written anew: other weights, for all one can know.
  const auto copy = options.model.string() + ".copy";
  std::filesystem::copy_file(options.model, copy);
  options.gpu_layers = {GpuLayers::Kind::kAll, 0};
  options.model = copy;
  exchange.held.reset();
  (void)load(options);
  std::filesystem::remove(copy);
  CHECK(exchange.asked[2].checksum == all.checksum);
  CHECK(exchange.asked[2].model != all.model);
}

TEST_CASE("memory that cannot be mapped is rejected and uploaded again, but not for ever") {
  TestExchange exchange;
  const EngineOptions options = shared_options(exchange);
  exchange.held.emplace(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto engine = load(options);
  CHECK(exchange.rejections == 1);
  CHECK(exchange.uploads == 1);

  exchange.held.emplace(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  exchange.forgets = false;  // each time the same
  const auto failed = Engine::load(options);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == ErrorCode::kIo);
  CHECK(failed.error().message.find("cannot map the shared weights") != std::string::npos);
  CHECK(exchange.rejections == 3);
}

TEST_CASE("an upload that is to end, or has no room, publishes nothing") {
  TestExchange exchange;
  EngineOptions options = shared_options(exchange);
  exchange.fails = true;
  const auto ended = Engine::load(options);
  REQUIRE_FALSE(ended.has_value());
  CHECK(ended.error().code == ErrorCode::kUnavailable);
  CHECK(exchange.uploads == 0);

  exchange.fails = false;
  options.gpu_budget_bytes = {uint64_t{1} << 40};  // what the plan may count on is not there
  options.open_gpu = [](int32_t) -> Result<std::unique_ptr<kernels::Device>> {
    return kernels::make_emulated_device({.free_bytes = 1000});
  };
  const auto full = Engine::load(options);
  REQUIRE_FALSE(full.has_value());
  CHECK(full.error().code == ErrorCode::kResourceExhausted);
  CHECK(exchange.uploads == 0);
}

TEST_CASE("a device that cannot share where the plan counts on it is an error") {
  TestExchange exchange;
  EngineOptions options = shared_options(exchange);
  options.open_gpu = [](int32_t) -> Result<std::unique_ptr<kernels::Device>> {
    return kernels::make_emulated_device({.why_not_shared = "the driver is too old"});
  };
  const auto refused = Engine::load(options);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message ==
        "emulated lets processes share no memory: the driver is too old");
}

TEST_CASE("the plan counts shared weights once, and all else for each worker") {
  EngineOptions options = small_options();
  options.gpu_layers = {GpuLayers::Kind::kAll, 0};
  const auto model = Model::load(options.model);
  REQUIRE(model.has_value());
  const kernels::DeviceInfo info{.name = "a GPU", .free_bytes = uint64_t{1} << 40};
  const uint64_t file_bytes = (*model)->file().mapped_bytes();
  const auto plan_of = [&](int32_t sharers, uint64_t budget) {
    const std::vector<uint64_t> budgets(budget > 0 ? 1 : 0, budget);
    const GpuOffer offer = *make_offer({info}, budgets, sharers, **model);
    return size_memory_plan(options, (*model)->config(), file_bytes, &offer).value();
  };
  const DevicePlan one = plan_of(0, 0).devices.at(0);
  const DevicePlan four = plan_of(4, 0).devices.at(0);
  CHECK(one.bytes() == one.weights_bytes + one.kv_bytes + one.activation_bytes);
  CHECK(four.weights_bytes == one.weights_bytes);
  CHECK(four.bytes() == four.weights_bytes + 4 * (four.kv_bytes + four.activation_bytes));
  CHECK(plan_of(4, four.bytes()).fits());
  const MemoryPlan tight = plan_of(4, four.bytes() - 1);
  CHECK_FALSE(tight.fits());
  CHECK(tight.shortfall().message.find("4 times (their KV cache") != std::string::npos);
  options.context_tokens = 0;  // open-ended: what is left is shared out
  const DevicePlan open = plan_of(4, four.bytes()).devices.at(0);
  CHECK(open.fits());
}

}  // namespace hearth
