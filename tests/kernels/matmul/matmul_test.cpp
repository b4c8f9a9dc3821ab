// Every variant against the scalar reference, and the promise of equal bits.

#include "kernels/matmul/matmul.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>
#include <vector>

#include "kernels/cpu/thread_pool.h"
#include "kernels/quant/dequantize.h"
#include "kernels/quant/quantize_rows.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

using test::Input;
using test::kPoison;
using test::multiply;
using test::Weights;

struct Shape {
  int64_t rows;  // of x
  int64_t n;
  int64_t cols;
};

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

void check_against_reference(const test::Variant& variant, DType dtype, const Shape& shape,
                             float weight_scale) {
  std::mt19937 rng(static_cast<uint32_t>(shape.n * 31 + shape.cols));
  const Weights w(dtype, shape.n, shape.cols, weight_scale, rng);
  const Input x(shape.rows, shape.cols, 1.0F, rng);
  const std::vector<float> expected = multiply(matmul_ref, w.view, x.view(shape.rows));
  const std::vector<float> actual = multiply(variant.fn, w.view, x.view(shape.rows));
  const bool is_float = matmul_input(dtype) == MatmulInput::kF32;
  double worst = -1.0;
  std::string worst_text;
  for (int64_t r = 0; r < shape.rows; ++r) {
    for (int64_t o = 0; o < shape.n; ++o) {
      const size_t at = static_cast<size_t>(r * shape.n + o);
      double limit =
          test::rounding_bound(w.magnitude(o, x, r), is_float ? shape.cols : shape.cols / 32 * 5);
      if (variant.fixed_halves && is_half(dtype)) limit += w.fixed_error(o, x, r);
      const double error = std::fabs(static_cast<double>(actual[at]) - expected[at]);
      const double share = std::isnan(error) ? 1e30 : error / limit;
      if (share <= worst) continue;
      worst = share;
      std::ostringstream text;
      text << "row " << r << " output " << o << ": got " << actual[at] << ", expected "
           << expected[at] << ", limit " << limit;
      worst_text = text.str();
    }
  }
  INFO(std::string(variant.name), " ", std::string(dtype_info(dtype).name), " rows ", shape.rows,
       " n ", shape.n, " cols ", shape.cols, " worst ", worst_text);
  CHECK(worst <= 1.0);
}

TEST_CASE("the reference is the dot product of dequantized weights and inputs") {
  for (const DType dtype : test::kAllTypes) {
    std::mt19937 rng(7);
    const int64_t cols = 512;
    const Weights w(dtype, 5, cols, 0.05F, rng);
    const Input x(3, cols, 1.0F, rng);
    const std::vector<float> actual = multiply(matmul_ref, w.view, x.view(3));
    std::vector<float> row(cols);
    for (int64_t o = 0; o < 5; ++o) {
      quant::dequantize_row(dtype, w.bytes.data() + static_cast<size_t>(o) * w.view.row_bytes,
                            row.data(), cols);
      for (int64_t r = 0; r < 3; ++r) {
        double expected = 0.0;
        for (int64_t k = 0; k < cols; ++k)
          expected += static_cast<double>(row[static_cast<size_t>(k)]) * x.value(dtype, r, k);
        const double limit = w.magnitude(o, x, r) * 4 * 0x1p-24;
        INFO(std::string(dtype_info(dtype).name), " output ", o, " row ", r);
        CHECK(std::fabs(actual[static_cast<size_t>(r * 5 + o)] - expected) <= limit);
      }
    }
  }
}

TEST_CASE("variants agree with the reference over types, shapes and remainders") {
  const Shape shapes[] = {{1, 1, 256},   {1, 37, 256},  {1, 64, 2048}, {1, 17, 8192 + 256},
                          {2, 33, 768},  {3, 16, 1024}, {5, 31, 256},  {8, 48, 512},
                          {9, 100, 768}, {64, 40, 512}, {257, 20, 256}};
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : test::kAllTypes)
      for (const Shape& shape : shapes) check_against_reference(variant, dtype, shape, 0.05F);
  }
}

TEST_CASE("inner sizes that are not whole chunks") {
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : test::kAllTypes) {
      const int64_t block = dtype_info(dtype).block_size;
      if (block == 256) continue;
      for (int64_t i = 1; i <= 40; ++i)
        for (const int64_t rows : {1, 2, 4})
          check_against_reference(variant, dtype, {rows, 5, i * block}, 0.05F);
    }
  }
}

TEST_CASE("a row's bits depend on nothing but the row") {
  constexpr int64_t kMaxRows = 40;
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : test::kAllTypes) {
      std::mt19937 rng(11);
      const int64_t cols = dtype_info(dtype).block_size == 256 ? 768 : 544;
      const Weights w(dtype, 83, cols, 0.05F, rng);
      const Input x(kMaxRows, cols, 1.0F, rng);
      std::vector<float> alone(static_cast<size_t>(kMaxRows * 83), kPoison);
      for (int64_t r = 0; r < kMaxRows; ++r) {
        MatmulArgs job;
        job.weight = w.view;
        job.out = alone.data() + r * 83;
        job.out_stride = 83;
        variant.fn(ExecContext{}, x.view_of_row(r), &job, 1);
      }
      for (int threads = 1; threads <= 3; ++threads) {
        ThreadPool pool(threads, /*pin=*/false);
        for (int64_t rows = 1; rows <= kMaxRows; ++rows) {
          const std::vector<float> together = multiply(variant.fn, w.view, x.view(rows), &pool);
          INFO(std::string(variant.name), " ", std::string(dtype_info(dtype).name), " rows ", rows,
               " threads ", threads);
          REQUIRE(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST_CASE("jobs of one call share the input and give the bits of single calls") {
  for (const test::Variant& variant : test::variants()) {
    for (const int64_t rows : {1, 2, 7}) {
      std::mt19937 rng(3);
      const Weights q(DType::kQ4_K, 70, 512, 0.05F, rng);
      const Weights k(DType::kQ6_K, 19, 512, 0.05F, rng);
      const Weights v(DType::kF16, 19, 512, 0.05F, rng);
      const Input x(rows, 512, 1.0F, rng);
      const Weights* weights[] = {&q, &k, &v};
      std::vector<float> outs[3];
      MatmulArgs jobs[3];
      for (int j = 0; j < 3; ++j) {
        outs[j].assign(static_cast<size_t>(rows * weights[j]->view.rows), kPoison);
        jobs[j].weight = weights[j]->view;
        jobs[j].out = outs[j].data();
        jobs[j].out_stride = weights[j]->view.rows;
      }
      ThreadPool pool(2, /*pin=*/false);
      variant.fn(ExecContext{&pool, nullptr}, x.view(rows), jobs, 3);
      for (int j = 0; j < 3; ++j) {
        const std::vector<float> single = multiply(variant.fn, weights[j]->view, x.view(rows));
        CHECK(std::memcmp(outs[j].data(), single.data(), single.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("bias and residual are added after the dot product, and strides are kept") {
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : {DType::kQ4_0, DType::kQ6_K, DType::kF32}) {
      for (const int64_t rows : {1, 2, 9}) {
        constexpr int64_t kN = 45;
        constexpr int64_t kStride = 50;
        std::mt19937 rng(5);
        const Weights w(dtype, kN, 256, 0.05F, rng);
        const Input x(rows, 256, 1.0F, rng);
        std::vector<float> bias(kN);
        for (float& b : bias) b = test::normal(rng);
        std::vector<float> out(static_cast<size_t>(rows * kStride), 0.25F);
        MatmulArgs job;
        job.weight = w.view;
        job.bias = bias.data();
        job.accumulate = true;
        job.out = out.data();
        job.out_stride = kStride;
        variant.fn(ExecContext{}, x.view(rows), &job, 1);
        const std::vector<float> plain = multiply(variant.fn, w.view, x.view(rows));
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < kStride; ++o) {
            const float actual = out[static_cast<size_t>(r * kStride + o)];
            if (o >= kN) {
              CHECK(actual == 0.25F);  // the gap between rows is not written
            } else {
              const float expected =
                  plain[static_cast<size_t>(r * kN + o)] + bias[static_cast<size_t>(o)] + 0.25F;
              CHECK(actual == doctest::Approx(expected).epsilon(1e-6));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("MXFP4: every exponent, down to subnormal scales, gives the product") {
  for (const test::Variant& variant : test::variants()) {
    Weights w(DType::kMXFP4, 241, 96, 0x29);  // codes 9 and 2: -0.5 and 1
    for (size_t block = 0; block < w.bytes.size() / 17; ++block)
      w.bytes[block * 17] = static_cast<uint8_t>(block / 3);
    for (const int64_t rows : {1, 3}) {
      const Input x(rows, 96, 1.0F);
      const std::vector<float> expected = multiply(matmul_ref, w.view, x.view(rows));
      const std::vector<float> actual = multiply(variant.fn, w.view, x.view(rows));
      for (size_t i = 0; i < actual.size(); ++i) {
        INFO(std::string(variant.name), " rows ", rows, " element ", i);
        REQUIRE(expected[i] != 0.0F);
        CHECK(std::fabs(actual[i] - expected[i]) <= 1e-6F * std::fabs(expected[i]));
      }
    }
  }
}

TEST_CASE("extreme weights and inputs") {
  for (const test::Variant& variant : test::variants()) {
    for (const DType dtype : test::kAllTypes) {
      for (const int64_t rows : {1, 2, 9}) {
        // Codes of all ones or all zeros, largest scales and inputs: integer sums at their largest.
        for (const uint8_t fill : {uint8_t{0x00}, uint8_t{0x7F}, uint8_t{0x80}, uint8_t{0xFF}}) {
          Weights w(dtype, 18, 512, fill);
          Input x(rows, 512, 127.0F);
          const std::vector<float> expected = multiply(matmul_ref, w.view, x.view(rows));
          const std::vector<float> actual = multiply(variant.fn, w.view, x.view(rows));
          for (size_t i = 0; i < expected.size(); ++i) {
            INFO(std::string(variant.name), " ", std::string(dtype_info(dtype).name), " fill ",
                 static_cast<int>(fill), " rows ", rows, " element ", i);
            const auto o = static_cast<int64_t>(i) % 18;
            CHECK(std::fabs(static_cast<double>(actual[i]) - expected[i]) <=
                  test::rounding_bound(w.magnitude(o, x, static_cast<int64_t>(i) / 18), 512));
          }
        }
        // An input of zeros gives exact zeros; subnormal weight scales stay within bounds.
        std::mt19937 rng(9);
        const Weights w(dtype, 18, 512, 0.05F, rng);
        const Input zeros(rows, 512, 0.0F);
        for (const float value : multiply(variant.fn, w.view, zeros.view(rows)))
          CHECK(value == 0.0F);
        check_against_reference(variant, dtype, {rows, 18, 512}, 3e-8F);
      }
    }
  }
}

}  // namespace
}  // namespace hearth::kernels
