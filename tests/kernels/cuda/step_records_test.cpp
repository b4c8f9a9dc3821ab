// Steps that are recorded and replayed: when, and that they see what memory holds by then.

#include "kernels/cuda/step_records.h"

#include <doctest/doctest.h>

#include <array>

#include "tests/kernels/cuda/support_device.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

struct Counts {
  int run = 0;
  int recorded = 0;
  int replayed = 0;

  bool operator==(const Counts&) const = default;
};

class CountingRecord final : public StepRecord {
 public:
  explicit CountingRecord(Counts& counts) : counts_(&counts) {}
  void replay() override { ++counts_->replayed; }

 private:
  Counts* counts_;
};

struct World {
  StepRecords records;
  Counts counts;
  bool fails = false;

  Counts step(const StepShape& shape) {
    counts = {};
    records.run(
        shape, [this] { ++counts.run; },
        [this](const StepRecords::Ops&) -> std::unique_ptr<StepRecord> {
          ++counts.recorded;
          return fails ? nullptr : std::make_unique<CountingRecord>(counts);
        });
    return counts;
  }
};

constexpr Counts kRun{.run = 1};
constexpr Counts kRecorded{.recorded = 1, .replayed = 1};
constexpr Counts kReplayed{.replayed = 1};

}  // namespace

TEST_CASE("a shape runs, is recorded, is replayed; shapes do not share records") {
  World world;
  CHECK(world.step({.rows = 1, .longest = 256}) == kRun);
  CHECK(world.step({.rows = 1, .longest = 256}) == kRecorded);
  CHECK(world.step({.rows = 1, .longest = 256}) == kReplayed);
  CHECK(world.step({.rows = 2, .longest = 256}) == kRun);
  CHECK(world.step({.rows = 1, .longest = 512}) == kRun);
  CHECK(world.step({.kind = 1, .rows = 1, .longest = 256}) == kRun);
  CHECK(world.step({.rows = 1, .longest = 256}) == kReplayed);
  CHECK(world.records.count() == 1);
}

TEST_CASE("the shape that was used longest ago is forgotten") {
  World world;
  for (int32_t rows = 1; rows <= 64; ++rows)
    for (int i = 0; i < 2; ++i) world.step({.rows = rows});
  CHECK(world.records.count() == 64);
  CHECK(world.step({.rows = 1}) == kReplayed);
  CHECK(world.step({.rows = 65}) == kRun);
  CHECK(world.step({.rows = 1}) == kReplayed);
  CHECK(world.step({.rows = 2}) == kRun);
}

TEST_CASE("a device that cannot record runs each step as it is, and is not asked again") {
  World world;
  world.fails = true;
  CHECK(world.step({.rows = 1}) == kRun);
  CHECK(world.step({.rows = 1}) == Counts{.run = 1, .recorded = 1});
  CHECK(world.step({.rows = 1}) == kRun);
  CHECK(world.step({.rows = 2}) == kRun);
  CHECK(world.step({.rows = 2}) == kRun);
}

TEST_CASE("device: a replayed step reads the memory of its own step") {
  for (Device* device : test_devices()) {
    CAPTURE(device->info().name);
    auto memory = device->allocate(2 * sizeof(float), "a test");
    REQUIRE(memory.has_value());
    auto pinned = device->allocate_pinned(2 * sizeof(float), "a test");
    REQUIRE(pinned.has_value());
    auto* x = reinterpret_cast<float*>(memory->data());
    auto* host = reinterpret_cast<float*>(pinned->data());
    const std::array<int32_t, 1> positions{0};
    const std::array<int32_t, 1> page{0};
    const SequenceRows row{
        .row_begin = 0, .row_count = 1, .first_position = 0, .pages = page.data()};
    int calls = 0;
    for (int step = 0; step < 5; ++step) {
      device->begin_step({.sequences = {&row, 1},
                          .page_tokens = 32,
                          .positions = positions,
                          .logit_rows = {},
                          .recorded = true});
      host[0] = static_cast<float>(step);
      host[1] = -1.0F;
      device->enqueue_upload(x, host, 2 * sizeof(float));
      device->run_recorded(77, [&] {
        ++calls;
        device->table().scale(device->context(), {.x = x, .count = 1, .scale = 3.0F});
        device->copy(x + 1, x, sizeof(float));
      });
      device->wait();
      device->enqueue_download(host, x, 2 * sizeof(float));
      device->wait();
      CHECK(host[0] == static_cast<float>(3 * step));
      CHECK(host[1] == static_cast<float>(3 * step));
    }
    CHECK(calls == 2);  // run, recorded; then replayed
  }
}
