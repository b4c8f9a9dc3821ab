// The device's sample op against the reference that sorts: equal tokens, equal bits of what
// log-probabilities are made of, logits as they were.

#include "kernels/sampling/sampling.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "kernels/cuda/emulator/emulator.h"
#include "tests/kernels/cuda/support_device.h"
#include "tests/support/sanitized.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

// Sanitizers make the emulator forty times slower.
constexpr int kRounds = hearth::testing::kSanitized ? 1 : 15;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Rows of one op, in host memory; every array is what the contract says.
struct World {
  int32_t vocab_size;
  std::vector<float> logits;
  std::vector<SampleRow> rows;
  std::vector<TokenBias> biases;
  std::vector<TokenCount> counts;
  std::vector<SampleResult> results;
  std::vector<TopLogit> tops;

  World(int32_t vocab, int32_t count)
      : vocab_size(vocab),
        logits(static_cast<size_t>(vocab) * static_cast<size_t>(count)),
        rows(static_cast<size_t>(count)),
        biases(static_cast<size_t>(count) * kSampleMostBiases),
        counts(static_cast<size_t>(count) * kSampleMostCounts),
        results(static_cast<size_t>(count)),
        tops(static_cast<size_t>(count) * kSampleMostTop) {
    for (int32_t r = 0; r < count; ++r) {
      // Slots and logits in another order than rows.
      rows[static_cast<size_t>(r)].slot = count - 1 - r;
      rows[static_cast<size_t>(r)].logit_row = (r + 1) % count;
      rows[static_cast<size_t>(r)].mode = SampleMode::kDraw;
      rows[static_cast<size_t>(r)].temperature = 1.0F;
    }
  }

  float* logits_of(size_t r) {
    return logits.data() + static_cast<size_t>(rows[r].logit_row * vocab_size);
  }

  [[nodiscard]] SampleArgs args() {
    SampleArgs args;
    args.logits = logits.data();
    args.row = rows.data();
    args.rows = static_cast<int32_t>(rows.size());
    args.vocab_size = vocab_size;
    args.biases = biases.data();
    args.counts = counts.data();
    args.result = results.data();
    args.top = tops.data();
    return args;
  }
};

template <typename T>
class Uploaded {
 public:
  explicit Uploaded(std::vector<T>& host) : host_(&host) {
    auto memory = device_in_use().allocate(bytes(), "a test");
    REQUIRE(memory.has_value());
    memory_ = std::move(*memory);
    device_in_use().upload(memory_.data(), host.data(), bytes());
  }
  void bring_back() { device_in_use().download(host_->data(), memory_.data(), bytes()); }
  operator T*() const { return reinterpret_cast<T*>(memory_.data()); }

 private:
  [[nodiscard]] size_t bytes() const { return host_->size() * sizeof(T); }
  std::vector<T>* host_;
  DeviceMemory memory_;
};

void run_on_device(World& world, const SampleStages& stages = {}) {
  Uploaded logits(world.logits);
  Uploaded rows(world.rows);
  Uploaded biases(world.biases);
  Uploaded counts(world.counts);
  Uploaded results(world.results);
  Uploaded tops(world.tops);
  std::vector<std::byte> work(world.rows.size() * sample_row_bytes(world.vocab_size));
  std::vector<float> saved(world.rows.size() * (kSampleMostBiases + kSampleMostCounts));
  const Uploaded work_memory(work);
  const Uploaded saved_memory(saved);
  SampleArgs args = world.args();
  args.logits = logits;
  args.row = rows;
  args.biases = biases;
  args.counts = counts;
  args.saved = saved_memory;
  args.work = work_memory;
  args.stages = stages;
  args.result = results;
  args.top = tops;
  device_in_use().table().sample(device_in_use().context(), args);
  logits.bring_back();
  counts.bring_back();
  results.bring_back();
  tops.bring_back();
}

/// The device's answers are the reference's; `what` tells of a row.
template <typename What>
void check_rows(World world, What what, const SampleStages& stages = {}) {
  World on_device = world;
  run_on_device(on_device, stages);
  World expected = world;
  sample_ref({}, expected.args());
  CHECK(std::memcmp(on_device.logits.data(), world.logits.data(),
                    world.logits.size() * sizeof(float)) == 0);
  for (size_t r = 0; r < world.rows.size(); ++r) {
    const SampleRow& row = world.rows[r];
    if (row.mode == SampleMode::kNone) continue;
    INFO("row ", r, ": ", what(row));
    const SampleResult& actual = on_device.results[r];
    const SampleResult& wanted = expected.results[r];
    CHECK(actual.token == wanted.token);
    if (row.num_top < 0 || wanted.token < 0) continue;
    CHECK(actual.num_top == wanted.num_top);
    CHECK(std::bit_cast<uint32_t>(actual.logit) == std::bit_cast<uint32_t>(wanted.logit));
    CHECK(actual.max == wanted.max);
    CHECK(std::bit_cast<uint64_t>(actual.exp_sum) == std::bit_cast<uint64_t>(wanted.exp_sum));
    for (int32_t i = 0; i < wanted.num_top; ++i) {
      const size_t at = r * kSampleMostTop + static_cast<size_t>(i);
      CHECK(on_device.tops[at].token == expected.tops[at].token);
      CHECK(on_device.tops[at].logit == expected.tops[at].logit);
    }
  }
}

std::string describe(const SampleRow& row) {
  return "temperature " + std::to_string(row.temperature) + ", top_k " + std::to_string(row.top_k) +
         ", typical_p " + std::to_string(row.typical_p) + ", top_p " + std::to_string(row.top_p) +
         ", min_p " + std::to_string(row.min_p) + ", logprobs " + std::to_string(row.num_top);
}

using Random = std::mt19937;

template <typename T>
T one_of(Random& random, std::initializer_list<T> values) {
  return *(values.begin() + random() % values.size());
}

void fill_logits(Random& random, float* logits, int32_t vocab_size) {
  const int kind = static_cast<int>(random() % 6);
  std::normal_distribution<float> normal(0.0F, kind == 1 ? 0.05F : 4.0F);
  for (int32_t i = 0; i < vocab_size; ++i) {
    float x = normal(random);
    if (kind == 2) x = std::round(x);                        // many ties
    if (kind == 3 && random() % 3 == 0) x = -kInfinity;      // impossible tokens
    if (kind == 4 && random() % 50 == 0) x = std::nanf("");  // damaged weights
    if (kind == 4 && random() % 200 == 0) x = kInfinity;
    if (kind == 5) x = -0.0F;  // all equal
    logits[i] = x;
  }
}

void fill_row(Random& random, World& world, size_t r) {
  SampleRow& row = world.rows[r];
  row.bits = static_cast<uint64_t>(random()) << 32 | random();
  row.mode = one_of(random, {SampleMode::kDraw, SampleMode::kDraw, SampleMode::kDraw,
                             SampleMode::kGreedy, SampleMode::kNone});
  row.temperature = one_of(random, {1.0F, 0.7F, 2.0F, 0.01F, 1e-30F});
  const int32_t k = one_of(random, {0, 1, 2, 40, world.vocab_size / 2, world.vocab_size - 1});
  row.top_k = std::min(k, world.vocab_size - 1);
  row.typical_p = one_of(random, {1.0F, 1.0F, 0.9F, 0.2F});
  row.top_p = one_of(random, {1.0F, 0.95F, 0.5F, 0.0F});
  row.min_p = one_of(random, {0.0F, 0.0F, 0.05F, 1.0F});
  row.num_top = one_of(random, {-1, -1, 0, 5, 20});
  if (random() % 2 == 0) return;
  row.repetition_penalty = one_of(random, {1.0F, 1.3F});
  row.presence_penalty = one_of(random, {0.0F, 1.5F, -2.0F});
  row.frequency_penalty = one_of(random, {0.0F, 0.3F});
  row.num_biases = std::min<int32_t>(static_cast<int32_t>(random() % 9), world.vocab_size);
  TokenBias* biases = world.biases.data() + int64_t{row.slot} * kSampleMostBiases;
  for (int32_t i = 0; i < row.num_biases; ++i)
    biases[i] = {static_cast<int32_t>(random() % static_cast<uint32_t>(world.vocab_size)),
                 one_of(random, {-100.0F, 100.0F, 1.5F, -3.0F})};
  std::sort(biases, biases + row.num_biases,
            [](const TokenBias& a, const TokenBias& b) { return a.token < b.token; });
  TokenCount* counts = world.counts.data() + int64_t{row.slot} * kSampleMostCounts;
  row.num_counts = std::min<int32_t>(static_cast<int32_t>(random() % 300), world.vocab_size);
  for (int32_t i = 0; i < row.num_counts; ++i)
    counts[i] = {world.vocab_size - 1 - i, static_cast<int32_t>(random() % 4)};
  if (row.num_counts == 0) return;
  row.changed = static_cast<int32_t>(random() % static_cast<uint32_t>(row.num_counts));
  row.change = {counts[row.changed].token, 7};
}

}  // namespace

TEST_CASE("device sampling: random rows of all parameters are the reference's, bit for bit") {
  Random random(7);
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const int32_t vocab_size : {1, 2, 33, 1000, 1024, 2500, 20000}) {
      CAPTURE(vocab_size);
      const int rounds = vocab_size < 5000 ? kRounds : 1 + kRounds / 5;
      for (int round = 0; round < rounds; ++round) {
        World world(vocab_size, 12);
        for (size_t r = 0; r < world.rows.size(); ++r) {
          fill_row(random, world, r);
          fill_logits(random, world.logits_of(r), vocab_size);
        }
        check_rows(world, describe);
      }
    }
  }
}

TEST_CASE("device sampling: more equal candidates than are listed") {
  for (Device* device : test_devices()) {
    use_device(*device);
    World world(9000, 4);
    for (size_t r = 0; r < world.rows.size(); ++r) {
      SampleRow& row = world.rows[r];
      for (int32_t i = 0; i < world.vocab_size; ++i)
        world.logits_of(r)[i] = i % 3 == 0 ? 1.0F : 1.0F + 1e-6F * static_cast<float>(i % 2);
      row.bits = uint64_t{0xF123456789ABCDEF} >> r;
      if (r == 0) row.top_p = 0.7F;
      if (r == 1) row.top_k = 5000;
      if (r == 2) row.typical_p = 0.6F;
      if (r == 3) {
        row.top_k = 4500;
        row.top_p = 0.9F;
      }
    }
    check_rows(world, describe);
  }
}

TEST_CASE("device sampling: a row without a usable logit says so, and its neighbours do not care") {
  for (Device* device : test_devices()) {
    use_device(*device);
    World world(300, 3);
    std::ranges::fill(world.logits, 0.5F);
    std::fill_n(world.logits_of(1), 300, std::nanf(""));
    world.logits_of(1)[7] = -kInfinity;
    for (SampleRow& row : world.rows) {
      row.num_top = 3;
      row.top_p = 0.5F;
      row.min_p = 0.1F;
    }
    check_rows(world, describe);
    run_on_device(world);
    CHECK(world.results[1].token == -1);
  }
}

TEST_CASE("device sampling: stages that no row needs change nothing") {
  Random random(3);
  for (Device* device : test_devices()) {
    use_device(*device);
    World world(1500, 6);
    for (size_t r = 0; r < world.rows.size(); ++r) {
      SampleRow& row = world.rows[r];
      row.bits = static_cast<uint64_t>(random()) << 32 | random();
      row.mode = SampleMode::kGreedy;
      fill_logits(random, world.logits_of(r), world.vocab_size);
    }
    SampleStages none{false, false, false, false, false, false, false};
    check_rows(world, describe, none);
    none.draws = true;
    for (SampleRow& row : world.rows) row.mode = SampleMode::kDraw;
    check_rows(world, describe, none);
  }
}

TEST_CASE("device sampling: no bit depends on the order in which threads run") {
  using simt::emulator::Order;
  use_device(emulated_device());
  Random random(5);
  World world(2200, 8);
  for (size_t r = 0; r < world.rows.size(); ++r) {
    fill_row(random, world, r);
    fill_logits(random, world.logits_of(r), world.vocab_size);
  }
  for (const Order order : {Order::kBackward, Order::kShuffled}) {
    simt::emulator::set_order(order);
    check_rows(world, describe);
  }
  simt::emulator::set_order(Order::kForward);
}
