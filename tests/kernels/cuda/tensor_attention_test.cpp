// The device's attention on the tensor cores: many rows of a sequence, rows alone in theirs, and
// the promise that a row's bits are the same either way.

#include "kernels/attention/attention.h"
#include "kernels/cuda/emulator/emulator.h"
#include "tests/kernels/attention/support_attention.h"
#include "tests/kernels/cuda/support_device.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const Variant<AttentionArgs> kReference{"ref", attention_ref};
const Variant<AttentionArgs> kOnDevice{"device", on_device};

using Rows = std::vector<std::vector<float>>;

void check_same_bits(const Rows& actual, const Rows& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t s = 0; s < expected.size(); ++s) {
    INFO("sequence ", s);
    REQUIRE(actual[s].size() == expected[s].size());
    CHECK(
        same_bits(actual[s].data(), expected[s].data(), static_cast<int64_t>(expected[s].size())));
  }
}

/// The last rows of each sequence alone in it, all before in one chunk.
Rows run_last_alone(AttentionWorld& world, const std::vector<int32_t>& lengths, int32_t alone) {
  world.clear();
  Rows out;
  std::vector<Chunk> chunks;
  for (size_t s = 0; s < lengths.size(); ++s)
    chunks.push_back({static_cast<int32_t>(s), 0, lengths[s] - alone});
  world.step(kOnDevice, nullptr, chunks, out);
  for (int32_t i = 0; i < alone; ++i) {
    for (Chunk& chunk : chunks)
      chunk = {chunk.sequence, lengths[static_cast<size_t>(chunk.sequence)] - alone + i, 1};
    world.step(kOnDevice, nullptr, chunks, out);
  }
  return out;
}

}  // namespace

TEST_CASE("tensor attention: groups of heads, sizes, pages, types") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kQ8_0})
      for (const int32_t head_dim : {32, 64, 96, 128, 256})
        for (const int32_t group : {1, 4, 17}) {
          INFO(std::string(dtype_info(dtype).name), " head_dim ", head_dim, " group ", group);
          const AttentionShape shape{.dtype = dtype,
                                     .head_dim = head_dim,
                                     .num_kv_heads = group == 17 ? 1 : 2,
                                     .group = group,
                                     .page_tokens = group == 4 ? 32 : 8};
          AttentionWorld world(shape, {41, 34});
          const Rows expected = world.run_alone(kReference, 64);
          const Rows whole = world.run_alone(kOnDevice, 64);
          for (size_t s = 0; s < expected.size(); ++s)
            check_close("attention", whole[s].data(), expected[s].data(),
                        static_cast<int64_t>(expected[s].size()), [](int64_t) { return 4e-6; });
          check_same_bits(run_last_alone(world, {41, 34}, 2), whole);
        }
  }
}

TEST_CASE(
    "tensor attention: a row's bits in long contexts, alone or in chunks, with and without "
    "others") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const AttentionShape& shape :
         {AttentionShape{.head_dim = 32, .num_kv_heads = 1, .group = 5, .page_tokens = 32},
          AttentionShape{.dtype = DType::kQ8_0,
          .head_dim = 32,
          .num_kv_heads = 1,
          .group = 3,
          .page_tokens = 16,
          .window = 275,
          .sinks = true},
          AttentionShape{
              .head_dim = 32, .num_kv_heads = 2, .group = 1, .chunk = 150, .softcap = 2.0F}}) {
      const std::vector<int32_t> lengths{330, 290, 37};
      AttentionWorld world(shape, lengths);
      const Rows whole = world.run_alone(kOnDevice, 1024);
      check_same_bits(run_last_alone(world, lengths, 3), whole);
      // Rows alone in their sequences before, between and after the chunks of others.
      world.clear();
      Rows mixed;
      world.step(kOnDevice, nullptr, {{0, 0, 257}, {1, 0, 289}, {2, 0, 1}}, mixed);
      world.step(kOnDevice, nullptr, {{1, 289, 1}, {0, 257, 71}, {2, 1, 30}}, mixed);
      world.step(kOnDevice, nullptr, {{0, 328, 1}, {2, 31, 5}}, mixed);
      world.step(kOnDevice, nullptr, {{2, 36, 1}, {0, 329, 1}}, mixed);
      check_same_bits(mixed, whole);
    }
  }
}

TEST_CASE("tensor attention: many rows do not share their spans out, to the same bits") {
  for (Device* device : test_devices()) {
    use_device(*device);
    const AttentionShape shape{.head_dim = 32, .num_kv_heads = 1, .group = 2};
    const std::vector<int32_t> lengths(20, 258);
    AttentionWorld world(shape, lengths);
    const Rows together = run_last_alone(world, lengths, 1);
    check_same_bits(together, world.run_alone(kOnDevice, 256));
  }
}

TEST_CASE("tensor attention: what a row does not see does not reach it") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kQ8_0}) {
      const AttentionShape shape{.dtype = dtype, .page_tokens = 32};
      AttentionWorld world(shape, {40});
      // Beyond what the cache's type can hold: infinity is stored.
      std::fill_n(world.v(0).begin() + 30 * shape.kv_cols(), shape.kv_cols(), 1e8F);
      std::fill_n(world.k(0).begin() + 30 * shape.kv_cols(), shape.kv_cols(), -1e8F);
      Rows whole = world.run_alone(kOnDevice, 64);
      Rows alone = world.run_alone(kOnDevice, 1);
      const auto before = static_cast<size_t>(30 * shape.q_cols());
      whole[0].resize(before);
      alone[0].resize(before);
      check_same_bits(whole, alone);
    }
  }
}

TEST_CASE("tensor attention: the order of threads changes no bit") {
  namespace emulator = simt::emulator;
  use_device(emulated_device());
  for (const auto& shape :
       {AttentionShape{.head_dim = 256, .num_kv_heads = 1, .group = 3, .sinks = true},
        AttentionShape{.dtype = DType::kQ8_0, .head_dim = 64, .num_kv_heads = 1}}) {
    AttentionWorld world(shape, {70, 41});
    const Rows expected = run_last_alone(world, {70, 41}, 1);
    for (const auto order : {emulator::Order::kBackward, emulator::Order::kShuffled}) {
      emulator::set_order(order);
      check_same_bits(run_last_alone(world, {70, 41}, 1), expected);
    }
    emulator::set_order(emulator::Order::kForward);
  }
}
