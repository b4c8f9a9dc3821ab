#include "kernels/norm/rms_norm.h"

#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(&KernelTable::rms_norm); };

// The squares are summed in double: what is left is the rounding of the scale and two products.
constexpr double kUlps = 2.0;

RmsNormArgs make_args(const float* x, int64_t x_stride, const float* weight, int64_t rows,
                      int64_t cols, float* out, int64_t out_stride) {
  return {.x = x,
          .x_stride = x_stride,
          .weight = weight,
          .eps = 1e-5F,
          .rows = rows,
          .cols = cols,
          .out = out,
          .out_stride = out_stride};
}

void check_shape(int64_t rows, int64_t cols, int64_t offset, float magnitude) {
  const int64_t stride = cols + 3;
  const auto x = random_floats(static_cast<size_t>(offset + rows * stride), 1, magnitude);
  const auto weight = random_floats(static_cast<size_t>(offset + cols), 2);
  std::vector<float> expected;
  for (const auto& variant : kVariants()) {
    PoisonedRows out(rows, cols, cols + 5, offset);
    variant.run({}, make_args(x.data() + offset, stride, weight.data() + offset, rows, cols,
                              out.data(), cols + 5));
    CHECK(out.surroundings_untouched());
    for (int64_t r = 0; r < rows; ++r) {
      if (variant.name == "ref") {
        expected.insert(expected.end(), out.row(r), out.row(r) + cols);
        continue;
      }
      const float* row = expected.data() + r * cols;
      check_close(variant.name + ", cols " + std::to_string(cols), out.row(r), row, cols,
                  relative_bound(row, kUlps, 1e-44));
    }
  }
}

}  // namespace

TEST_CASE("rms_norm: a row worked out by hand") {
  const float x[] = {3.0F, -4.0F};  // mean of squares 12.5
  const float weight[] = {1.0F, 2.0F};
  for (const auto& variant : kVariants()) {
    float out[2];
    RmsNormArgs args = make_args(x, 2, weight, 1, 2, out, 2);
    args.eps = 3.5F;  // sqrt(16)
    variant.run({}, args);
    CHECK(out[0] == 0.75F);
    CHECK(out[1] == -2.0F);
  }
}

TEST_CASE("rms_norm: without weights they are ones") {
  const auto x = random_floats(131, 9);
  const std::vector<float> ones(131, 1.0F);
  for (const auto& variant : kVariants()) {
    std::vector<float> with(131);
    std::vector<float> without(131);
    variant.run({}, make_args(x.data(), 131, ones.data(), 1, 131, with.data(), 131));
    variant.run({}, make_args(x.data(), 131, nullptr, 1, 131, without.data(), 131));
    CHECK(with == without);
  }
}

TEST_CASE("rms_norm: every remainder, misaligned") {
  for (int64_t cols = 1; cols <= 70; ++cols) check_shape(2, cols, cols % 4, 1.0F);
}

TEST_CASE("rms_norm: shapes of real models") {
  for (const int64_t cols : {64, 128, 896, 2048, 4096, 5120, 8192}) check_shape(3, cols, 1, 4.0F);
}

TEST_CASE("rms_norm: zeros, subnormals and the largest floats stay finite") {
  for (const float magnitude : {0.0F, 1e-40F, 1e-20F, 1e20F, 3e38F}) {
    check_shape(1, 100, 0, magnitude);
    const auto x = random_floats(100, 1, magnitude);
    const std::vector<float> weight(100, 1.0F);
    for (const auto& variant : kVariants()) {
      std::vector<float> out(100);
      variant.run({}, make_args(x.data(), 100, weight.data(), 1, 100, out.data(), 100));
      for (const float value : out) REQUIRE(std::isfinite(value));
    }
  }
}

TEST_CASE("rms_norm: out may be x") {
  const auto x = random_floats(3 * 130, 5);
  const auto weight = random_floats(130, 6);
  for (const auto& variant : kVariants()) {
    std::vector<float> apart(x.size());
    std::vector<float> in_place = x;
    variant.run({}, make_args(x.data(), 130, weight.data(), 3, 130, apart.data(), 130));
    variant.run({}, make_args(in_place.data(), 130, weight.data(), 3, 130, in_place.data(), 130));
    CHECK(apart == in_place);
  }
}

TEST_CASE("rms_norm: a row's bits do not depend on the batch or the threads") {
  constexpr int64_t kRows = 33;
  constexpr int64_t kCols = 1027;
  const auto x = random_floats(kRows * kCols, 7);
  const auto weight = random_floats(kCols, 8);
  for (const auto& variant : kVariants()) {
    std::vector<float> alone(kRows * kCols);
    for (int64_t r = 0; r < kRows; ++r)
      variant.run({}, make_args(x.data() + r * kCols, kCols, weight.data(), 1, kCols,
                                alone.data() + r * kCols, kCols));
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      std::vector<float> together(kRows * kCols);
      variant.run({.pool = &pool},
                  make_args(x.data(), kCols, weight.data(), kRows, kCols, together.data(), kCols));
      CHECK(same_bits(alone.data(), together.data(), kRows * kCols));
    }
  }
}
