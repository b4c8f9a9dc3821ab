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

TEST_CASE("emulator: a product of int8 matrices by the fragments of its 32 lanes") {
  int8_t a[16][32];
  int8_t b[32][8];
  int seed = 1;
  const auto next = [&seed] {
    return static_cast<int8_t>((seed = seed * 1103515245 + 12345) >> 16);
  };
  for (auto& row : a)
    for (int8_t& value : row) value = next();
  for (auto& row : b)
    for (int8_t& value : row) value = next();
  const auto pack = [](auto at) {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i)
      word |= static_cast<uint32_t>(static_cast<uint8_t>(at(i))) << (8 * i);
    return word;
  };
  int32_t c[16][8];
  run(32, 0, [&] {
    const int row = simt::lane_index() / 4;
    const int quad = simt::lane_index() % 4;
    uint32_t fa[4];
    uint32_t fb[2];
    for (int w = 0; w < 4; ++w)
      fa[w] = pack([&](int i) { return a[row + w % 2 * 8][w / 2 * 16 + quad * 4 + i]; });
    for (int w = 0; w < 2; ++w) fb[w] = pack([&](int i) { return b[w * 16 + quad * 4 + i][row]; });
    int32_t whole[4] = {};
    int32_t halves[4] = {};
    simt::mma_s8_k32(whole, fa, fb);
    simt::mma_s8_k16(halves, fa[0], fa[1], fb[0]);
    simt::mma_s8_k16(halves, fa[2], fa[3], fb[1]);
    for (int i = 0; i < 4; ++i) {
      c[row + i / 2 * 8][quad * 2 + i % 2] = whole[i];
      if (whole[i] != halves[i]) c[row + i / 2 * 8][quad * 2 + i % 2] = -1;
    }
  });
  for (int r = 0; r < 16; ++r)
    for (int n = 0; n < 8; ++n) {
      int expected = 0;
      for (int k = 0; k < 32; ++k) expected += a[r][k] * b[k][n];
      CHECK(c[r][n] == expected);
    }
}

}  // namespace hearth::kernels::emulated
