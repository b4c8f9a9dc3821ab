#include "kernels/norm/layer_norm.h"

#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(&KernelTable::layer_norm); };

LayerNormArgs make_args(const float* x, const float* weight, const float* bias, int64_t rows,
                        int64_t cols, float* out, int64_t out_stride) {
  return {.x = x,
          .x_stride = cols,
          .weight = weight,
          .bias = bias,
          .eps = 1e-5F,
          .rows = rows,
          .cols = cols,
          .out = out,
          .out_stride = out_stride};
}

/// Values around `centre`. The difference to the mean is rounded in units of the larger of the two,
/// and then scaled by 1 / standard deviation (0.58 of the magnitude).
void check_shape(int64_t rows, int64_t cols, int64_t offset, float magnitude, float centre,
                 bool with_bias) {
  auto x = random_floats(static_cast<size_t>(offset + rows * cols), 1, magnitude);
  for (float& value : x) value += centre;
  const auto weight = random_floats(static_cast<size_t>(offset + cols), 2);
  const auto bias = random_floats(static_cast<size_t>(offset + cols), 3);
  const double bound = 0x1p-23 * (12.0 + 8.0 * std::abs(centre) / magnitude);
  std::vector<float> expected;
  for (const auto& variant : kVariants()) {
    PoisonedRows out(rows, cols, cols + 5, offset);
    variant.run({}, make_args(x.data() + offset, weight.data() + offset,
                              with_bias ? bias.data() + offset : nullptr, rows, cols, out.data(),
                              cols + 5));
    CHECK(out.surroundings_untouched());
    for (int64_t r = 0; r < rows; ++r) {
      if (variant.name == "ref") {
        expected.insert(expected.end(), out.row(r), out.row(r) + cols);
        continue;
      }
      check_close(variant.name + ", cols " + std::to_string(cols), out.row(r),
                  expected.data() + r * cols, cols, [&](int64_t) { return bound; });
    }
  }
}

}  // namespace

TEST_CASE("layer_norm: a row worked out by hand") {
  const float x[] = {1.0F, 5.0F};  // mean 3, variance 4
  const float weight[] = {1.0F, 2.0F};
  const float bias[] = {0.5F, -1.0F};
  for (const auto& variant : kVariants()) {
    float out[2];
    LayerNormArgs args = make_args(x, weight, bias, 1, 2, out, 2);
    args.eps = 12.0F;  // sqrt(16)
    variant.run({}, args);
    CHECK(out[0] == 0.0F);
    CHECK(out[1] == 0.0F);
    args.bias = nullptr;
    variant.run({}, args);
    CHECK(out[0] == -0.5F);
    CHECK(out[1] == 1.0F);
  }
}

TEST_CASE("layer_norm: every remainder, misaligned, with and without bias") {
  for (int64_t cols = 2; cols <= 70; ++cols)
    check_shape(2, cols, cols % 4, 1.0F, 0.5F, cols % 2 == 0);
}

TEST_CASE("layer_norm: shapes of real models, far off zero too") {
  for (const int64_t cols : {768, 2560, 4544, 8192})
    for (const float centre : {0.0F, 30.0F, -1000.0F}) check_shape(3, cols, 1, 4.0F, centre, true);
}

TEST_CASE("layer_norm: constant rows, subnormals and the largest floats stay finite") {
  for (const float value : {0.0F, 1.0F, 1e-40F, -1e20F, 3e38F}) {
    const std::vector<float> x(100, value);
    const std::vector<float> weight(100, 1.0F);
    for (const auto& variant : kVariants()) {
      std::vector<float> out(100);
      variant.run({}, make_args(x.data(), weight.data(), weight.data(), 1, 100, out.data(), 100));
      for (const float y : out) REQUIRE(std::isfinite(y));
    }
  }
}

TEST_CASE("layer_norm: out may be x; a row's bits do not depend on the batch or the threads") {
  constexpr int64_t kRows = 33;
  constexpr int64_t kCols = 1027;
  const auto x = random_floats(kRows * kCols, 7);
  const auto weight = random_floats(kCols, 8);
  for (const auto& variant : kVariants()) {
    std::vector<float> alone = x;
    for (int64_t r = 0; r < kRows; ++r) {
      float* row = alone.data() + r * kCols;
      variant.run({}, make_args(row, weight.data(), weight.data(), 1, kCols, row, kCols));
    }
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      std::vector<float> together(kRows * kCols);
      variant.run({.pool = &pool}, make_args(x.data(), weight.data(), weight.data(), kRows, kCols,
                                             together.data(), kCols));
      CHECK(same_bits(alone.data(), together.data(), kRows * kCols));
    }
  }
}
