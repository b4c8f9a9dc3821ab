// Matmuls of many rows by a library (--fast-math-order) against the scalar reference, in the
// emulator by its products, on a GPU by cuBLAS where there is one.

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/emulator/emulated_device.h"
#include "kernels/matmul/matmul.h"
#include "tests/kernels/cuda/support_device.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

using test::dequantized;
using test::Input;
using test::multiply;
using test::Weights;
using testing::device_in_use;
using testing::expert_matmul_on_device;
using testing::matmul_on_device;
using testing::test_devices;
using testing::use_device;

/// Types that the library takes: float ones, and of those that only the scalar kernel knows one
/// with blocks of 256 and one with blocks of 32.
constexpr DType kLibraryTypes[] = {DType::kF16, DType::kBF16, DType::kIQ2_XS, DType::kQ4_1F32};

/// The device with its library, or null with a line that says why not.
std::unique_ptr<Device> with_library(std::unique_ptr<Device> device, size_t scratch_bytes) {
  REQUIRE(device->reserve(scratch_bytes, 2048, 2048, 64).has_value());
  if (const auto name = device->use_gemm_library(); !name.has_value()) {
    MESSAGE("no library: ", name.error().message);
    return nullptr;
  }
  return device;
}

constexpr size_t kScratchBytes = size_t{8} << 20;

Device& emulated_library() {
  static const std::unique_ptr<Device> emulated =
      with_library(make_emulated_device(), kScratchBytes);
  return *emulated;
}

std::vector<Device*> library_devices() {
  static const std::unique_ptr<Device> gpu = []() -> std::unique_ptr<Device> {
    auto device = open_cuda_device(0);
    return device.has_value() ? with_library(std::move(*device), kScratchBytes) : nullptr;
  }();
  return testing::devices_to_test(&emulated_library(), gpu.get());
}

/// The same device without: test_devices() has them in the same order.
Device& plain(size_t index) { return *test_devices()[index]; }

/// What an output may differ by: f32 roundings of a sum whose magnitudes sum up to `magnitude`, and
/// both operands: F16 and BF16 weights are exact and x is rounded to 11 bits and to 8; dequantized
/// ones may be cut off after 11 bits, and x was rounded to 11.
double bound(DType dtype, double magnitude, int64_t cols) {
  const double rounded = dtype == DType::kF16    ? 0x1p-11
                         : dtype == DType::kBF16 ? 0x1p-8
                                                 : 0x1.8p-10;
  return magnitude * (static_cast<double>(cols + 8) * 0x1p-24 + rounded) + 1e-37;
}

void check_rows(const Weights& w, const Input& x, int64_t rows) {
  const std::vector<float> expected = multiply(matmul_ref, dequantized(w).view, x.view(rows));
  const std::vector<float> actual = multiply(matmul_on_device, w.view, x.view(rows));
  const int64_t n = w.view.rows;
  INFO(device_in_use().info().name, " ", std::string(dtype_info(w.view.dtype).name), " rows ", rows,
       " n ", n, " cols ", w.view.cols);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < n; ++o) {
      const auto at = static_cast<size_t>(r * n + o);
      const double limit = bound(w.view.dtype, w.magnitude(o, x, r), w.view.cols);
      INFO("row ", r, " output ", o);
      REQUIRE(std::fabs(static_cast<double>(actual[at]) - expected[at]) <= limit);
    }
}

bool equal_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("device gemm: remainders of rows and outputs") {
  for (Device* device : library_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kTQ1_0, DType::kIQ2_XS,
                              DType::kIQ3_XXS, DType::kQ4_1F32}) {
      const int64_t odd = dtype_info(dtype).block_size < 256 ? 352 : 768;
      for (const auto& [rows, n, cols] :
           {std::array<int64_t, 3>{65, 37, 512}, {66, 1, 256}, {67, 3, odd}}) {
        std::mt19937 rng(static_cast<uint32_t>(n * 31 + cols));
        const Weights w(dtype, n, cols, 0.05F, rng);
        check_rows(w, Input(rows, cols, 1.0F, rng), rows);
      }
    }
    std::mt19937 rng(1);
    check_rows(Weights(DType::kF16, 9, 2304, 0.05F, rng), Input(131, 2304, 1.0F, rng), 131);
  }
}

TEST_CASE("device gemm: many rows go to the library, few to our kernels") {
  const auto devices = library_devices();
  for (size_t d = 0; d < devices.size(); ++d)
    for (const DType dtype : kLibraryTypes) {
      std::mt19937 rng(5);
      const Weights w(dtype, 19, 768, 0.05F, rng);
      const Input x(70, 768, 1.0F, rng);
      INFO(device_in_use().info().name, " ", std::string(dtype_info(dtype).name));
      for (const int64_t rows : {1, 64, 65}) {
        use_device(*devices[d]);
        const auto with = multiply(matmul_on_device, w.view, x.view(rows));
        use_device(plain(d));
        CHECK(equal_bits(with, multiply(matmul_on_device, w.view, x.view(rows))) == (rows <= 64));
      }
    }
}

TEST_CASE("device gemm: other types and shapes are as without a library") {
  const auto devices = library_devices();
  for (size_t d = 0; d < devices.size(); ++d)
    for (const auto& [dtype, cols] : {std::pair<DType, int64_t>{DType::kF32, 256},
                                      {DType::kF16, 100},
                                      {DType::kQ4_0, 256},
                                      {DType::kQ4_K, 256}}) {
      std::mt19937 rng(6);
      const Weights w(dtype, 19, cols, 0.05F, rng);
      const Input x(65, cols, 1.0F, rng);
      use_device(*devices[d]);
      const auto with = multiply(matmul_on_device, w.view, x.view(65));
      use_device(plain(d));
      INFO(std::string(dtype_info(dtype).name), " cols ", cols);
      CHECK(equal_bits(with, multiply(matmul_on_device, w.view, x.view(65))));
    }
}

TEST_CASE("device gemm: experts are as without a library") {
  constexpr int64_t kRows = 70;
  std::mt19937 rng(8);
  const Weights w(DType::kF16, 2 * 5, 256, 0.05F, rng);
  const Input x(kRows, 256, 1.0F, rng);
  WeightView experts[2] = {w.view, w.view};
  experts[0].rows = experts[1].rows = 5;
  experts[1].data = w.bytes.data() + 5 * w.view.row_bytes;
  const int32_t begin[] = {0, 3, kRows};
  const auto run = [&](Device& device) {
    use_device(device);
    std::vector<float> out(kRows * 5, test::kPoison);
    ExpertMatmulArgs args;
    args.weights = experts;
    args.experts = 2;
    args.begin = begin;
    args.out = out.data();
    expert_matmul_on_device({}, x.view(kRows), args);
    return out;
  };
  const auto devices = library_devices();
  for (size_t d = 0; d < devices.size(); ++d) CHECK(equal_bits(run(*devices[d]), run(plain(d))));
}

TEST_CASE("device gemm: several jobs, biases, adding to what is there, nothing written beside") {
  constexpr int64_t kRows = 67;
  constexpr int64_t kStride = 90;
  for (Device* device : library_devices()) {
    use_device(*device);
    for (const DType dtype : kLibraryTypes) {
      std::mt19937 rng(3);
      const Weights a(dtype, 40, 512, 0.05F, rng);
      const Weights b(dtype, 10, 512, 0.05F, rng);
      const Weights c(dtype, 24, 512, 0.05F, rng);
      const Weights other(DType::kF32, 3, 512, 0.05F, rng);
      const Input x(kRows, 512, 1.0F, rng);
      std::vector<float> bias(40);
      for (float& value : bias) value = test::normal(rng);
      const auto run = [&](test::MatmulFn fn, bool as_f32) {
        const auto weight = [&](const Weights& w) { return as_f32 ? dequantized(w) : w; };
        const Weights wa = weight(a), wb = weight(b), wc = weight(c);
        std::vector<float> out(kRows * kStride, test::kPoison);
        for (int64_t r = 0; r < kRows; ++r)  // what is added to
          for (int64_t o = 40; o < 74; ++o) out[static_cast<size_t>(r * kStride + o)] = 0.25F;
        const MatmulArgs jobs[] = {
            {.weight = wa.view, .bias = bias.data(), .out = out.data(), .out_stride = kStride},
            {.weight = wb.view, .accumulate = true, .out = out.data() + 40, .out_stride = kStride},
            {.weight = wc.view,
             .bias = bias.data() + 7,
             .accumulate = true,
             .out = out.data() + 50,
             .out_stride = kStride},
            {.weight = other.view, .out = out.data() + 74, .out_stride = kStride},
            {.weight = wb.view, .out = out.data() + 77, .out_stride = kStride}};
        fn({}, x.view(kRows), jobs, 5);
        return out;
      };
      const auto expected = run(matmul_ref, true);
      const auto actual = run(matmul_on_device, false);
      INFO(device->info().name, " ", std::string(dtype_info(dtype).name));
      for (size_t i = 0; i < expected.size(); ++i) {
        if (i % kStride >= 87) {
          REQUIRE(std::isnan(actual[i]));
        } else {
          // Weights of 0.05, 512 of them: sums of magnitudes stay below 40.
          REQUIRE(std::fabs(double{actual[i]} - expected[i]) <= bound(dtype, 40.0, 512));
        }
      }
    }
  }
}

TEST_CASE("device gemm: rows of any size have full precision, and large ones stay finite") {
  for (Device* device : library_devices()) {
    use_device(*device);
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kIQ2_XS}) {
      std::mt19937 rng(23);
      const Weights w(dtype, 5, 768, 0.05F, rng);
      Input x(66, 768, 1.0F, rng);
      // Rows of sizes of their own, 1e-30 to 1e30.
      for (int64_t r = 0; r <= 60; r += 10)
        for (int64_t k = 0; k < 768; k += 16)
          x.set(r, k, test::normal(rng) * std::pow(10.0F, static_cast<float>(r) - 30.0F));
      check_rows(w, x, 66);
    }
  }
}

TEST_CASE("device gemm: values that are not finite stay so, in their rows alone") {
  constexpr int64_t kCols = 512;
  constexpr int64_t kRows = 65;
  for (Device* device : library_devices()) {
    use_device(*device);
    std::mt19937 rng(3);
    for (const DType dtype : kLibraryTypes)
      for (const float value :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        const Weights w(dtype, 3, kCols, 1.0F, rng);
        std::vector<float> x(kRows * kCols, 1.0F);
        x[kCols + 70] = value;
        const auto out = multiply(matmul_on_device, w.view,
                                  {.f32 = x.data(), .q8 = {}, .rows = kRows, .cols = kCols});
        INFO(std::string(dtype_info(dtype).name));
        for (size_t i = 0; i < out.size(); ++i) CHECK(std::isfinite(out[i]) == (i / 3 != 1));
      }
  }
}

TEST_CASE("device gemm: bands of little scratch memory change no bit") {
  constexpr int64_t kRows = 70;
  constexpr int64_t kCols = 512;
  // Room for x as f32 and a few rows of weights beside it, or a few outputs of all rows.
  const auto small = with_library(make_emulated_device(), kRows * kCols * sizeof(float) + 9000);
  for (const DType dtype : kLibraryTypes) {
    std::mt19937 rng(29);
    const Weights w(dtype, 300, kCols, 0.05F, rng);
    const Input x(kRows, kCols, 1.0F, rng);
    std::vector<float> bias(300);
    for (float& value : bias) value = test::normal(rng);
    const auto run = [&](Device& device) {
      use_device(device);
      std::vector<float> out(kRows * 300, 0.5F);
      const MatmulArgs job{.weight = w.view,
                           .bias = bias.data(),
                           .accumulate = true,
                           .out = out.data(),
                           .out_stride = 300};
      matmul_on_device({}, x.view(kRows), &job, 1);
      return out;
    };
    INFO(std::string(dtype_info(dtype).name));
    CHECK(equal_bits(run(*small), run(emulated_library())));
  }
}

TEST_CASE("device gemm: a device without the library says why, and goes on as it was") {
  const auto device = make_emulated_device({.why_no_gemm = "it is not installed"});
  REQUIRE(device->reserve(1 << 20, 128, 1, 64).has_value());
  const auto name = device->use_gemm_library();
  REQUIRE_FALSE(name.has_value());
  CHECK(name.error().code == ErrorCode::kUnsupported);
  CHECK(name.error().message == "it is not installed");
  std::mt19937 rng(2);
  const Weights w(DType::kF16, 19, 256, 0.05F, rng);
  const Input x(70, 256, 1.0F, rng);
  use_device(*device);
  const auto without = multiply(matmul_on_device, w.view, x.view(70));
  use_device(testing::emulated_device());
  CHECK(equal_bits(without, multiply(matmul_on_device, w.view, x.view(70))));
}

}  // namespace hearth::kernels
