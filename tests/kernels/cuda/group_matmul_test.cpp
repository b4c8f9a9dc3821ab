// The matmul on products of warpgroups (kernels/cuda/warpgroup.h), as a device of compute
// capability 9.0 has them. On a GPU that has, the tests of matmul_test.cpp run them.
#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

#include "kernels/cuda/emulator/emulated_device.h"
#include "kernels/cuda/emulator/emulator.h"
#include "tests/kernels/cuda/support_device.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

namespace emu = simt::emulator;
using test::Input;
using test::multiply;
using test::Weights;
using testing::emulated_device;
using testing::matmul_on_device;
using testing::use_device;

constexpr DType kTypes[] = {DType::kQ4_0,   DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,
                            DType::kQ8_0,   DType::kIQ4_NL, DType::kMXFP4, DType::kQ2_K,
                            DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,  DType::kQ6_K,
                            DType::kIQ4_XS, DType::kF16,    DType::kBF16};

std::unique_ptr<Device> device_with_groups(size_t shared_bytes = size_t{227} << 10) {
  auto device =
      make_emulated_device({.shared_bytes_per_cta = shared_bytes, .has_group_products = true});
  REQUIRE(device->reserve(16 << 20, 256, 1, 64).has_value());
  return device;
}

/// The bits of the first emulated device, whose warps have products of their own.
void check_bits(Device& device, const Weights& w, const Input& x, int64_t rows) {
  use_device(emulated_device());
  const int64_t before = emu::group_products();
  const std::vector<float> expected = multiply(matmul_on_device, w.view, x.view(rows));
  REQUIRE(emu::group_products() == before);
  use_device(device);
  const std::vector<float> actual = multiply(matmul_on_device, w.view, x.view(rows));
  INFO(std::string(dtype_info(w.view.dtype).name), " rows ", rows, " cols ", w.view.cols);
  REQUIRE(emu::group_products() > before);
  REQUIRE(std::memcmp(actual.data(), expected.data(), actual.size() * sizeof(float)) == 0);
}

TEST_CASE("warpgroups: the bits of a warp's products, for every type and tile") {
  const auto device = device_with_groups();
  for (const DType dtype : kTypes) {
    std::mt19937 rng(41);
    const Weights w(dtype, 300, 768, 0.05F, rng);
    const Input x(140, 768, 1.0F, rng);
    check_bits(*device, w, x, 140);  // 128 and 12 rows
    check_bits(*device, w, x, 40);
    if (dtype_info(dtype).block_size == 256) continue;
    const Weights odd(dtype, 130, 352, 0.05F, rng);  // the last turn has one group
    check_bits(*device, odd, Input(66, 352, 1.0F, rng), 66);
  }
}

TEST_CASE("warpgroups: few outputs, whose parts ctas share") {
  const auto device = device_with_groups();
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_K, DType::kF16}) {
    std::mt19937 rng(42);
    const Weights w(dtype, 20, 4096, 0.05F, rng);
    check_bits(*device, w, Input(50, 4096, 1.0F, rng), 50);
  }
}

TEST_CASE("warpgroups: the order of threads and the room for stages change nothing") {
  std::mt19937 rng(43);
  const Input x(70, 768, 1.0F, rng);
  for (const DType dtype : {DType::kQ5_1, DType::kQ6_K, DType::kBF16}) {
    const Weights w(dtype, 150, 768, 0.05F, rng);
    for (const auto order : {emu::Order::kBackward, emu::Order::kShuffled}) {
      emu::set_order(order);
      check_bits(*device_with_groups(), w, x, 70);
    }
    emu::set_order(emu::Order::kForward);
    check_bits(*device_with_groups(size_t{112} << 10), w, x, 70);
  }
}

TEST_CASE("warpgroups: experts of several tiles, of few rows and of none") {
  constexpr int64_t kRows = 230;
  constexpr int64_t kOutputs = 20;
  const int32_t begin[] = {0, 150, 150, 153, kRows};
  const auto device = device_with_groups();
  for (const DType dtype : {DType::kQ4_K, DType::kQ6_K, DType::kQ8_0, DType::kF16}) {
    std::mt19937 rng(44);
    const Weights all(dtype, 4 * kOutputs, 512, 0.05F, rng);
    const Input x(kRows, 512, 1.0F, rng);
    std::vector<WeightView> experts(4, all.view);
    for (size_t e = 0; e < 4; ++e) {
      experts[e].rows = kOutputs;
      experts[e].data = all.bytes.data() + e * kOutputs * all.view.row_bytes;
    }
    std::vector<float> out[2];
    const int64_t before = emu::group_products();
    for (int i = 0; i < 2; ++i) {
      use_device(i == 0 ? emulated_device() : *device);
      out[i].assign(kRows * kOutputs, test::kPoison);
      ExpertMatmulArgs args;
      args.weights = experts.data();
      args.experts = 4;
      args.begin = begin;
      args.out = out[i].data();
      testing::expert_matmul_on_device({}, x.view(kRows), args);
      REQUIRE((emu::group_products() > before) == (i == 1));
    }
    INFO(std::string(dtype_info(dtype).name));
    REQUIRE(std::memcmp(out[0].data(), out[1].data(), out[0].size() * sizeof(float)) == 0);
  }
}

}  // namespace
}  // namespace hearth::kernels
