// F16 and BF16 weights in fixed point (kernels/matmul/fixed_kernel.h): blocks, passes, ranges.
// Variants that multiply them as floats pass the same cases.

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cpu/thread_pool.h"
#include "kernels/quant/half.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

using test::Input;
using test::kPoison;
using test::multiply;
using test::Weights;

constexpr DType kHalves[] = {DType::kF16, DType::kBF16};
/// Every output within what rounding to fixed point and f32 sums allow.
void check_outputs(const test::Variant& variant, const Weights& w, const Input& x, int64_t rows) {
  const std::vector<float> expected = multiply(matmul_ref, w.view, x.view(rows));
  const std::vector<float> actual = multiply(variant.fn, w.view, x.view(rows));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < w.view.rows; ++o) {
      const auto at = static_cast<size_t>(r * w.view.rows + o);
      const double limit = test::rounding_bound(w.magnitude(o, x, r), w.view.cols) +
                           (variant.fixed_halves ? w.fixed_error(o, x, r) : 0.0);
      INFO(std::string(variant.name), " ", std::string(dtype_info(w.view.dtype).name), " cols ",
           w.view.cols, " row ", r, " output ", o);
      CHECK(std::fabs(double{actual[at]} - expected[at]) <= limit);
    }
  }
}

TEST_CASE("halves: several blocks, the last one partial, for one row, few and many") {
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : kHalves) {
      for (const int64_t cols : {1024, 1025, 2600, 4096}) {
        std::mt19937 rng(static_cast<uint32_t>(cols));
        const Weights w(dtype, 21, cols, 0.05F, rng);
        const Input x(20, cols, 1.0F, rng);
        for (const int64_t rows : {1, 2, 4, 5, 20}) check_outputs(variant, w, x, rows);
      }
    }
  }
}

TEST_CASE("halves: a row has the same bits alone and in several passes of a large batch") {
  constexpr int64_t kRows = 230;
  constexpr int64_t kN = 27;
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : kHalves) {
      std::mt19937 rng(2);
      const Weights w(dtype, kN, 2600, 0.05F, rng);
      const Input x(kRows, 2600, 1.0F, rng);
      ThreadPool pool(2, /*pin=*/false);
      const std::vector<float> together = multiply(variant.fn, w.view, x.view(kRows), &pool);
      for (int64_t r = 0; r < kRows; ++r) {
        const std::vector<float> alone = multiply(variant.fn, w.view, x.view_of_row(r));
        INFO(std::string(variant.name), " ", std::string(dtype_info(dtype).name), " row ", r);
        REQUIRE(std::memcmp(alone.data(), together.data() + r * kN, kN * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("halves: an outlier in x or in a row of weights harms its own block alone") {
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : kHalves) {
      std::mt19937 rng(3);
      Weights w(dtype, 19, 3000, 0.05F, rng);
      const uint16_t large = dtype == DType::kF16 ? f32_to_f16(30.0F) : f32_to_bf16(30.0F);
      std::memcpy(w.bytes.data() + 5 * w.view.row_bytes + 1500 * 2, &large, 2);
      Input x(6, 3000, 1.0F, rng);
      x.set(2, 100, 4000.0F);
      check_outputs(variant, w, x, 1);
      check_outputs(variant, w, x, 6);
    }
  }
}

TEST_CASE("BF16: weights and inputs of any exponent") {
  for (const test::Variant& variant : test::variants()) {
    for (const float size : {1e-30F, 1e-20F, 1e20F, 1e30F}) {
      std::mt19937 rng(4);
      const Weights w(DType::kBF16, 18, 1100, size, rng);
      for (const float scale : {1e-6F, 1.0F, 1e6F}) {
        const Input x(9, 1100, scale, rng);
        check_outputs(variant, w, x, 1);
        check_outputs(variant, w, x, 9);
      }
    }
  }
}

TEST_CASE("halves: what is not a number shows, in its own outputs alone") {
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : kHalves) {
      for (const uint16_t bits : {uint16_t{0x7FC0}, uint16_t{0xFFFF}}) {  // NaN in both types
        std::mt19937 rng(5);
        Weights w(dtype, 20, 1500, 0.05F, rng);
        std::memcpy(w.bytes.data() + 7 * w.view.row_bytes + 1200 * 2, &bits, 2);
        Input x(9, 1500, 1.0F, rng);
        x.set(3, 20, std::numeric_limits<float>::infinity());
        x.set(4, 1400, kPoison);
        for (const int64_t rows : {5, 9}) {
          const std::vector<float> out = multiply(variant.fn, w.view, x.view(rows));
          for (int64_t i = 0; i < rows * 20; ++i) {
            const bool finite = i % 20 != 7 && i / 20 != 3 && i / 20 != 4;
            INFO(std::string(variant.name), " ", std::string(dtype_info(dtype).name), " row ",
                 i / 20, " output ", i % 20);
            CHECK(std::isfinite(out[static_cast<size_t>(i)]) == finite);
          }
        }
      }
    }
  }
}

TEST_CASE("halves: rows wider than fixed point takes") {
  for (const test::Variant& variant : test::variants()) {
    std::mt19937 rng(6);
    const Weights w(DType::kF16, 3, 100'000, 0.05F, rng);
    const Input x(2, 100'000, 1.0F, rng);
    check_outputs(variant, w, x, 2);
  }
}

}  // namespace
}  // namespace hearth::kernels
