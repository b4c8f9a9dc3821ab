#include "kernels/activation/silu_mul.h"

#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(silu_mul_ref, silu_mul_avx2, silu_mul_avx512); };

// e^-x within 1.5 units, then a sum, a quotient and a product. Where e^-x overflows (x below -88.3)
// the result is 0, and the true one below 1e-36 times up.
constexpr double kUlps = 3.0;
constexpr double kFloor = 1e-36;

void check_rows(const std::vector<float>& gate, const std::vector<float>& up, int64_t rows,
                int64_t cols, int64_t offset) {
  const int64_t stride = cols + 2;
  std::vector<float> expected;
  for (const auto& variant : kVariants()) {
    PoisonedRows out(rows, cols, stride, offset);
    variant.run({}, {.gate = gate.data(),
                     .up = up.data(),
                     .gate_stride = cols,
                     .up_stride = cols,
                     .rows = rows,
                     .cols = cols,
                     .out = out.data(),
                     .out_stride = stride});
    CHECK(out.surroundings_untouched());
    for (int64_t r = 0; r < rows; ++r) {
      if (variant.name == "ref") {
        expected.insert(expected.end(), out.row(r), out.row(r) + cols);
        continue;
      }
      const float* row = expected.data() + r * cols;
      check_close(variant.name + ", cols " + std::to_string(cols), out.row(r), row, cols,
                  relative_bound(row, kUlps, kFloor));
    }
  }
}

}  // namespace

TEST_CASE("silu_mul: every remainder, misaligned") {
  for (int64_t cols = 1; cols <= 70; ++cols)
    check_rows(random_floats(static_cast<size_t>(2 * cols), 1, 12.0F),
               random_floats(static_cast<size_t>(2 * cols), 2), 2, cols, cols % 4);
}

TEST_CASE("silu_mul: shapes of real models") {
  for (const int64_t cols : {4864, 5632, 11008})
    check_rows(random_floats(static_cast<size_t>(cols), 3, 30.0F),
               random_floats(static_cast<size_t>(cols), 4), 1, cols, 0);
}

TEST_CASE("silu_mul: gates over the whole range, densely") {
  // Below 0 the result is nearly x e^x: its relative error is that of the exponential.
  std::vector<float> gate;
  for (int i = -200000; i <= 200000; ++i) gate.push_back(static_cast<float>(i) * 0.00045F);
  check_rows(gate, std::vector<float>(gate.size(), 1.0F), 1, static_cast<int64_t>(gate.size()), 0);
}

TEST_CASE("silu_mul: no finite gate gives NaN, and a NaN is not hidden") {
  const float largest = std::numeric_limits<float>::max();
  const std::vector<float> gate = {0.0F,  -0.0F,  87.3F,   -87.3F,   88.3F,  -88.3F,
                                   88.4F, -88.4F, 89.0F,   -89.0F,   104.0F, -104.0F,
                                   1e4F,  -1e4F,  largest, -largest, 1e-40F, -1e-40F};
  const auto count = static_cast<int64_t>(gate.size());
  check_rows(gate, std::vector<float>(gate.size(), 0.5F), 1, count, 0);
  for (const auto& variant : kVariants()) {
    std::vector<float> in = gate;
    in.push_back(std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> up(in.size(), 1.0F);
    std::vector<float> out(in.size());
    variant.run({}, {.gate = in.data(),
                     .up = up.data(),
                     .gate_stride = count + 1,
                     .up_stride = count + 1,
                     .rows = 1,
                     .cols = count + 1,
                     .out = out.data(),
                     .out_stride = count + 1});
    for (size_t i = 0; i < gate.size(); ++i) CHECK(!std::isnan(out[i]));
    CHECK(std::isnan(out.back()));
    CHECK(out[14] == largest);
    CHECK(out[0] == 0.0F);
  }
}

TEST_CASE("silu_mul: out may be gate; batch and threads do not change the bits") {
  constexpr int64_t kRows = 21;
  constexpr int64_t kCols = 533;
  const auto gate = random_floats(kRows * kCols, 5, 10.0F);
  const auto up = random_floats(kRows * kCols, 6);
  for (const auto& variant : kVariants()) {
    SiluMulArgs args{.gate_stride = kCols, .up_stride = kCols, .cols = kCols, .out_stride = kCols};
    std::vector<float> alone = gate;
    for (int64_t r = 0; r < kRows; ++r) {
      args.gate = args.out = alone.data() + r * kCols;
      args.up = up.data() + r * kCols;
      args.rows = 1;
      variant.run({}, args);
    }
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      std::vector<float> together(kRows * kCols);
      args.gate = gate.data();
      args.up = up.data();
      args.out = together.data();
      args.rows = kRows;
      variant.run({.pool = &pool}, args);
      CHECK(same_bits(alone.data(), together.data(), kRows * kCols));
    }
  }
}
