// The emulator itself: that it does what a device does, and sees what a device would hang on.
#include <doctest/doctest.h>

#include <vector>

#include "kernels/cuda/simt.h"

namespace hearth::kernels::emulated {
namespace {

namespace emu = simt::emulator;

void run(int threads, size_t shared_bytes, const std::function<void()>& thread) {
  emu::run({}, threads, shared_bytes, thread);
}

}  // namespace

TEST_CASE("emulator: barriers order what threads share, whatever their order") {
  for (const auto order : {emu::Order::kForward, emu::Order::kBackward, emu::Order::kShuffled}) {
    emu::set_order(order);
    std::vector<int> out(64);
    run(64, 64 * sizeof(int), [&] {
      auto* shared = reinterpret_cast<int*>(simt::shared_memory());
      shared[simt::thread_index()] = simt::thread_index() * 10;
      simt::sync_cta();
      out[static_cast<size_t>(simt::thread_index())] = shared[63 - simt::thread_index()];
    });
    for (int i = 0; i < 64; ++i) CHECK(out[static_cast<size_t>(i)] == (63 - i) * 10);
  }
  emu::set_order(emu::Order::kForward);
}

TEST_CASE("emulator: shuffles and sums over a warp") {
  float sum = 0.0F;
  int from_five = 0;
  run(32, 0, [&] {
    const float total = simt::warp_sum(static_cast<float>(simt::lane_index()));
    const int five = simt::shuffle(simt::lane_index() * 2, 5);
    if (simt::lane_index() == 31) {
      sum = total;
      from_five = five;
    }
  });
  CHECK(sum == 496.0F);
  CHECK(from_five == 10);
}

TEST_CASE("emulator: a copy is not there before it was waited for") {
  alignas(16) const uint32_t source[4] = {1, 2, 3, 4};
  uint32_t before = 0;
  uint32_t after = 0;
  run(32, 16, [&] {
    if (simt::thread_index() == 0) simt::copy_async<16>(simt::shared_memory(), source);
    simt::copy_async_commit();
    simt::copy_async_wait<1>();
    if (simt::thread_index() == 0)
      before = reinterpret_cast<const uint32_t*>(simt::shared_memory())[2];
    simt::copy_async_wait<0>();
    if (simt::thread_index() == 0)
      after = reinterpret_cast<const uint32_t*>(simt::shared_memory())[2];
  });
  CHECK(before == 0xCBCBCBCBU);
  CHECK(after == 3);
}

TEST_CASE("emulator: a product of f16 matrices by the fragments of its 32 lanes") {
  float a[16][16];
  float b[16][8];
  int seed = 1;
  const auto next = [&seed] {
    seed = static_cast<int>(static_cast<uint32_t>(seed) * 1103515245U + 12345U);
    return static_cast<float>(static_cast<int8_t>(seed >> 16));
  };
  for (auto& row : a)
    for (float& value : row) value = next() * 0x1p-24F;  // subnormal, as codes of weights are
  for (auto& row : b)
    for (float& value : row) value = next();
  float c[16][8];
  run(32, 0, [&] {
    const int row = simt::lane_index() / 4;
    const int quad = simt::lane_index() % 4;
    uint32_t fa[4];
    uint32_t fb[2];
    for (int w = 0; w < 4; ++w) {
      const float* from = &a[row + w % 2 * 8][w / 2 * 8 + quad * 2];
      fa[w] = simt::pack_f16(from[0], from[1]);
    }
    for (int w = 0; w < 2; ++w)
      fb[w] = simt::pack_f16(b[w * 8 + quad * 2][row], b[w * 8 + quad * 2 + 1][row]);
    float sums[4];
    simt::mma_f16_first(sums, fa, fb);
    simt::mma_f16(sums, fa, fb);
    for (int i = 0; i < 4; ++i) c[row + i / 2 * 8][quad * 2 + i % 2] = sums[i];
  });
  for (int r = 0; r < 16; ++r)
    for (int n = 0; n < 8; ++n) {
      float expected = 0.0F;
      for (int k = 0; k < 16; ++k) expected += 2.0F * a[r][k] * b[k][n];
      CHECK(c[r][n] == expected);
    }
}

}  // namespace hearth::kernels::emulated
