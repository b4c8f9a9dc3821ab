// The device's matmul against the scalar reference, and its promise of equal bits.

#include "kernels/matmul/matmul.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/cuda/emulator/emulated_device.h"
#include "kernels/cuda/emulator/emulator.h"
#include "kernels/quant/visit.h"
#include "tests/kernels/cuda/support_device.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

using test::dequantized;
using test::Input;
using test::multiply;
using test::Weights;
using testing::device_in_use;
using testing::emulated_device;
using testing::matmul_on_device;
using testing::test_devices;
using testing::use_device;

struct Shape {
  int64_t rows;  // of x
  int64_t n;
  int64_t cols;
};

/// What an output may differ by: f32 roundings of a sum whose magnitudes sum up to `magnitude`, and
/// the input, which all but F32 weights meet rounded to 11 bits, BF16 weights to 8. What a type
/// with an offset takes away again makes its sums some times larger.
double bound(DType dtype, double magnitude, int64_t cols) {
  const double rounded = dtype == DType::kF32 ? 0.0 : dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11;
  const double larger = matmul_input(dtype) == MatmulInput::kF32 ? 1.0 : 8.0;
  return magnitude * (larger * static_cast<double>(cols + 8) * 0x1p-24 + rounded) + 1e-37;
}

void check_rows(DType dtype, const Weights& w, const Input& x, int64_t rows) {
  const std::vector<float> expected = multiply(matmul_ref, dequantized(w).view, x.view(rows));
  const std::vector<float> actual = multiply(matmul_on_device, w.view, x.view(rows));
  const int64_t n = w.view.rows;
  INFO(device_in_use().info().name, " ", std::string(dtype_info(dtype).name), " rows ", rows, " n ",
       n, " cols ", w.view.cols);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < n; ++o) {
      const auto at = static_cast<size_t>(r * n + o);
      const double limit = bound(dtype, w.magnitude(o, x, r), w.view.cols);
      INFO("row ", r, " output ", o);
      REQUIRE(std::fabs(static_cast<double>(actual[at]) - expected[at]) <= limit);
    }
}

void check_against_reference(DType dtype, const Shape& shape) {
  std::mt19937 rng(static_cast<uint32_t>(shape.n * 31 + shape.cols));
  const Weights w(dtype, shape.n, shape.cols, 0.05F, rng);
  check_rows(dtype, w, Input(shape.rows, shape.cols, 1.0F, rng), shape.rows);
}

}  // namespace

TEST_CASE("device matmul: every type, one row, many parts, a tail") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : test::kAllTypes) {
      check_against_reference(dtype, {1, 37, 2560});
      check_against_reference(dtype, {3, 5, 256});
      if (dtype_info(dtype).block_size < 256) check_against_reference(dtype, {2, 17, 352});
    }
  }
}

TEST_CASE("device matmul: all tiles") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kQ3_K,
                              DType::kF16, DType::kBF16, DType::kF32})
      for (const Shape& shape : {Shape{8, 16, 512}, Shape{9, 33, 512}, Shape{32, 20, 256},
                                 Shape{33, 130, 512}, Shape{70, 129, 768}, Shape{140, 300, 512}})
        check_against_reference(dtype, shape);
  }
}

TEST_CASE("device matmul: shapes that no tensor core takes") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
      for (const int64_t cols : {1, 31, 33, 100}) check_against_reference(dtype, {9, 3, cols});
  }
}

TEST_CASE("device matmul: a row's bits depend on nothing but the row") {
  constexpr int64_t kRows = 133;
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0, DType::kQ2_K, DType::kQ4_K,
                              DType::kQ6_K, DType::kF16, DType::kBF16, DType::kF32}) {
      std::mt19937 rng(11);
      const Weights w(dtype, 19, 2304, 0.05F, rng);
      const Input x(kRows, 2304, 1.0F, rng);
      const std::vector<float> all = multiply(matmul_on_device, w.view, x.view(kRows));
      INFO(device->info().name, " ", std::string(dtype_info(dtype).name));
      for (const int64_t rows : {1, 2, 7, 8, 9, 16, 32, 33, 64, 65, 129}) {
        const std::vector<float> some = multiply(matmul_on_device, w.view, x.view(rows));
        INFO("rows ", rows);
        REQUIRE(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)) == 0);
      }
      const std::vector<float> last = multiply(matmul_on_device, w.view, x.view_of_row(kRows - 1));
      REQUIRE(std::memcmp(last.data(), all.data() + (kRows - 1) * 19, 19 * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("device matmul: F16 weights meet rounded inputs as they round them") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const int64_t cols : {32, 96, 544, 2304})
      for (const int64_t rows : {1, 5, 20, 70}) {
        std::mt19937 rng(static_cast<uint32_t>(cols + rows));
        const Weights w(DType::kF16, 35, cols, 0.05F, rng);
        const Input x(rows, cols, 1.0F, rng);
        const auto from_f32 = multiply(matmul_on_device, w.view, x.view(rows));
        const auto from_halves = multiply(testing::ordered_matmul_on_device, w.view, x.view(rows));
        INFO(device->info().name, " rows ", rows, " cols ", cols);
        REQUIRE(std::memcmp(from_f32.data(), from_halves.data(), from_f32.size() * sizeof(float)) ==
                0);
      }
  }
}

TEST_CASE("device matmul: tiles of every size give the same bits") {
  constexpr int64_t kOutputs = 260;
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kQ4_0, DType::kQ4_K}) {
      std::mt19937 rng(12);
      const Weights w(dtype, kOutputs, 768, 0.05F, rng);
      const Input x(133, 768, 1.0F, rng);
      const std::vector<float> all = multiply(matmul_on_device, w.view, x.view(133));
      for (const int64_t rows : {3, 9, 40}) {
        const std::vector<float> some = multiply(matmul_on_device, w.view, x.view(rows));
        INFO(std::string(dtype_info(dtype).name), " rows ", rows);
        REQUIRE(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)) == 0);
      }
      const std::vector<float> last = multiply(matmul_on_device, w.view, x.view_of_row(132));
      REQUIRE(std::memcmp(last.data(), all.data() + 132 * kOutputs, kOutputs * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("device matmul: inputs of any size have full precision, and large ones stay finite") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const DType dtype :
         {DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K})
      for (const float size : {1e-30F, 1e-6F, 1e6F, 1e30F}) {
        std::mt19937 rng(23);
        const Weights w(dtype, 20, 2304, 0.05F, rng);
        INFO("inputs of ", size);
        check_rows(dtype, w, Input(3, 2304, size, rng), 3);
      }
  }
}

TEST_CASE("device matmul: several jobs, biases, adding to what is there") {
  for (Device* device : test_devices()) {
    use_device(*device);
    std::mt19937 rng(3);
    const Weights q4(DType::kQ4_0, 40, 512, 0.05F, rng);
    const Weights more_q4(DType::kQ4_0, 10, 512, 0.05F, rng);
    const Weights f16(DType::kF16, 24, 512, 0.05F, rng);
    const Input x(5, 512, 1.0F, rng);
    std::vector<float> bias(40);
    for (float& value : bias) value = test::normal(rng);
    const auto run = [&](test::MatmulFn fn) {
      std::vector<float> out(5 * 100, 0.25F);
      const MatmulArgs jobs[] = {
          {.weight = q4.view, .bias = bias.data(), .out = out.data(), .out_stride = 100},
          {.weight = more_q4.view, .accumulate = true, .out = out.data() + 40, .out_stride = 100},
          {.weight = f16.view,
           .bias = bias.data(),
           .accumulate = true,
           .out = out.data() + 50,
           .out_stride = 100}};
      fn({}, x.view(5), jobs, 3);
      return out;
    };
    const auto expected = run(matmul_ref);
    const auto actual = run(matmul_on_device);
    // The reference rounds x to 7 bits of a block's largest value, the device to 11 of each.
    for (size_t i = 0; i < expected.size(); ++i)
      REQUIRE(std::fabs(double{actual[i]} - expected[i]) <= 0.03);
  }
}

TEST_CASE("device matmul: the largest scales make no finite weight infinite") {
  for (Device* device : test_devices()) {
    use_device(*device);
    std::mt19937 rng(31);
    for (const DType dtype : test::kAllTypes) {
      if (matmul_input(dtype) == MatmulInput::kF32) continue;
      Weights w(dtype, 3, 512, 0.05F, rng);
      quant::visit_block_type(dtype, [&]<typename Block>() {
        auto* blocks = reinterpret_cast<Block*>(w.bytes.data());
        for (size_t i = 0; i < w.bytes.size() / sizeof(Block); ++i) {
          if constexpr (requires { blocks[i].dmin = uint16_t{}; }) blocks[i].dmin = 0x7BFF;
          if constexpr (requires { blocks[i].m = uint16_t{}; }) blocks[i].m = 0xFBFF;
          if constexpr (std::is_same_v<Block, quant::BlockMXFP4>) {
            blocks[i].d = 240;
          } else if constexpr (requires { blocks[i].d = uint16_t{}; }) {
            blocks[i].d = i % 2 == 0 ? 0x7BFF : 0xFBFF;
          }
        }
      });
      check_rows(dtype, w, Input(2, 512, 0.01F, rng), 2);
    }
  }
}

TEST_CASE("device matmul: values that are not finite stay so") {
  constexpr int64_t kCols = 512;
  for (Device* device : test_devices()) {
    use_device(*device);
    std::mt19937 rng(3);
    for (const DType dtype : test::kAllTypes)
      for (const float value :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const Weights w(dtype, 3, kCols, 1.0F, rng);
        std::vector<float> x(2 * kCols, 1.0F);
        x[kCols + 70] = value;
        const auto out = multiply(matmul_on_device, w.view,
                                  {.f32 = x.data(), .q8 = {}, .rows = 2, .cols = kCols});
        INFO(std::string(dtype_info(dtype).name));
        for (size_t o = 0; o < 3; ++o) {
          CHECK(std::isfinite(out[o]));
          CHECK_FALSE(std::isfinite(out[3 + o]));
        }
      }
  }
}

TEST_CASE("device matmul: the order of threads and the room for stages change no bit") {
  namespace emu = simt::emulator;
  std::mt19937 rng(17);
  const Weights w(DType::kQ5_K, 35, 2304, 0.05F, rng);
  const Input x(40, 2304, 1.0F, rng);
  use_device(emulated_device());
  const auto expected = multiply(matmul_on_device, w.view, x.view(40));
  for (const auto order : {emu::Order::kBackward, emu::Order::kShuffled}) {
    emu::set_order(order);
    const auto again = multiply(matmul_on_device, w.view, x.view(40));
    CHECK(std::memcmp(again.data(), expected.data(), again.size() * sizeof(float)) == 0);
  }
  emu::set_order(emu::Order::kForward);
  // As much shared memory as the smallest devices have.
  const auto small = make_emulated_device({.shared_bytes_per_cta = size_t{64} << 10});
  REQUIRE(small->reserve(1 << 20, 64, 1, 64).has_value());
  use_device(*small);
  for (const int64_t rows : {1, 20, 40}) {
    const auto again = multiply(matmul_on_device, w.view, x.view(rows));
    CHECK(std::memcmp(again.data(), expected.data(), again.size() * sizeof(float)) == 0);
  }
}

}  // namespace hearth::kernels
