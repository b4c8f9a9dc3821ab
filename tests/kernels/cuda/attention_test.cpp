// The device's KV store and attention against the scalar reference, and the promise of equal bits.

#include "kernels/attention/attention.h"

#include "kernels/cuda/emulator/emulated_device.h"
#include "tests/kernels/attention/support_attention.h"
#include "tests/kernels/cuda/support_device.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const Variant<AttentionArgs> kReference{"ref", attention_ref};
const Variant<AttentionArgs> kOnDevice{"device", on_device};

std::string describe(const AttentionShape& shape) {
  return std::string(dtype_info(shape.dtype).name) + ", head_dim " +
         std::to_string(shape.head_dim) + ", window " + std::to_string(shape.window) + ", chunk " +
         std::to_string(shape.chunk);
}

void check_against_reference(const AttentionShape& shape, int32_t length, int32_t chunk) {
  AttentionWorld world(shape, {length});
  const auto expected = world.run_alone(kReference, chunk);
  const auto actual = world.run_alone(kOnDevice, chunk);
  check_close(device_in_use().info().name + ", " + describe(shape), actual[0].data(),
              expected[0].data(), static_cast<int64_t>(actual[0].size()),
              [](int64_t) { return 4e-6; });
}

}  // namespace

TEST_CASE("device attention: types, sizes of heads, windows, chunks, caps, sinks") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kQ8_0, DType::kF32})
      for (const int32_t head_dim : {32, 64, 96, 128, 160, 256})
        check_against_reference({.dtype = dtype, .head_dim = head_dim, .group = 3}, 40, 40);
    check_against_reference({.dtype = DType::kF16, .head_dim = 20, .page_tokens = 5}, 33, 9);
    check_against_reference({.dtype = DType::kF32, .head_dim = 520, .num_kv_heads = 1}, 35, 35);
    check_against_reference({.window = 7}, 50, 50);
    check_against_reference({.chunk = 12}, 50, 50);
    check_against_reference({.softcap = 1.5F}, 50, 50);
    check_against_reference({.sinks = true}, 50, 50);
    check_against_reference({.page_tokens = 32, .window = 270, .sinks = true}, 300, 300);
  }
}

TEST_CASE("device attention: long contexts, spans shared out or not") {
  for (Device* device : test_devices()) {
    use_device(*device);
    check_against_reference({.head_dim = 32, .num_kv_heads = 1}, 530, 529);
    check_against_reference({.head_dim = 32, .num_kv_heads = 1, .window = 300}, 530, 529);
  }
}

TEST_CASE("device attention: a row's bits depend on nothing but its sequence") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const bool windowed : {false, true}) {
      const AttentionShape shape{.head_dim = 32,
                                 .num_kv_heads = 1,
                                 .page_tokens = 32,
                                 .window = windowed ? 260 : 0,
                                 .sinks = true};
      AttentionWorld world(shape, {290, 40, 270});
      const auto whole = world.run_alone(kOnDevice, 1024);
      // Few rows at a time: warps share the spans of the last ones.
      world.clear();
      std::vector<std::vector<float>> parts;
      world.step(kOnDevice, nullptr, {{0, 0, 280}, {1, 0, 39}, {2, 0, 260}}, parts);
      for (int32_t i = 0; i < 10; ++i) {
        std::vector<Chunk> chunks{{0, 280 + i, 1}, {2, 260 + i, 1}};
        if (i == 4) chunks.push_back({1, 39, 1});
        world.step(kOnDevice, nullptr, chunks, parts);
      }
      for (size_t s = 0; s < whole.size(); ++s) {
        INFO("sequence ", s);
        REQUIRE(parts[s].size() == whole[s].size());
        CHECK(same_bits(parts[s].data(), whole[s].data(), static_cast<int64_t>(whole[s].size())));
      }
    }
  }
}

TEST_CASE("device kv_store: the bytes of the reference") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kQ8_0, DType::kF32}) {
      constexpr int32_t kHeadDim = 64;
      constexpr int32_t kHeads = 3;
      KvLayerView kv{.page_bytes = 2 * row_bytes(dtype, kHeadDim) * 8 * kHeads + 64,
                     .dtype = dtype,
                     .page_tokens = 8,
                     .num_kv_heads = kHeads,
                     .head_dim = kHeadDim};
      const std::vector<int32_t> first{4, 1};
      const std::vector<int32_t> second{3, 0, 2};
      const SequenceRows sequences[] = {{0, 3, 6, first.data()}, {3, 1, 17, second.data()}};
      auto k = random_floats(4 * kHeads * kHeadDim, 1, 90.0F);
      std::fill_n(k.begin(), 32, 0.0F);
      const auto v = random_floats(4 * kHeads * kHeadDim, 2, 1e5F);  // too large for f16
      std::vector<uint8_t> memory[2];
      for (int i = 0; i < 2; ++i) {
        memory[i].assign(kv.page_bytes * 5, 0xEE);
        kv.base = memory[i].data();
        const KvStoreArgs args{k.data(),  v.data(), kHeads * kHeadDim, kHeads * kHeadDim, kv,
                               sequences, 2};
        i == 0 ? kv_store_ref({}, args) : on_device({}, args);
      }
      INFO(std::string(dtype_info(dtype).name));
      CHECK(memory[0] == memory[1]);
    }
  }
}
