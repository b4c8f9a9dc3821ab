#include "kernels/activation/activate.h"

#include <algorithm>

#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(&KernelTable::activate); };

constexpr Activation kAll[] = {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                               Activation::kClampedSwiglu, Activation::kReluSquared};

// e^-x within 1.5 units, then a few sums, quotients and products. Where e^-x overflows (x below
// -88.3) the result is 0, and the true one below 1e-36 times up. GELU's tail is e^(-x^2 / 2), whose
// rounded argument counts up to 50 times below -10; its tanh form has a rounded cube there.
double ulps_of(Activation activation, float x) {
  if (activation == Activation::kGelu) return x < -5.0F ? 12.0 : 6.0;
  if (activation == Activation::kGeluTanh) return x < -1.0F ? 4.0 + 8.0 * std::abs(x * x) : 5.0;
  return activation == Activation::kClampedSwiglu && x < 0.0F ? 4.0 - x : 4.0;
}
constexpr double kFloor = 1e-36;

void check_rows(Activation activation, const std::vector<float>& gate, const float* up,
                int64_t rows, int64_t cols, int64_t offset) {
  const int64_t stride = cols + 2;
  std::vector<float> expected;
  for (const auto& variant : kVariants()) {
    PoisonedRows out(rows, cols, stride, offset);
    variant.run({}, {.activation = activation,
                     .gate = gate.data(),
                     .up = up,
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
      check_close(variant.name + ", activation " + std::to_string(static_cast<int>(activation)) +
                      ", cols " + std::to_string(cols),
                  out.row(r), row, cols, [&](int64_t i) {
                    return ulps_of(activation, gate[static_cast<size_t>(r * cols + i)]) * 0x1p-23 *
                               std::abs(double{row[i]}) +
                           kFloor;
                  });
    }
  }
}

}  // namespace

TEST_CASE("activate: values of the published definitions") {
  const std::vector<float> x = {-3.0F, -1.0F, -0.5F, 0.0F, 0.25F, 1.0F, 2.5F, 9.0F};
  const auto value = [](Activation activation, double v) {
    switch (activation) {
      case Activation::kSilu:
        return v / (1 + std::exp(-v));
      case Activation::kGelu:
        return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
      case Activation::kGeluTanh:
        return 0.5 * v *
               (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v)));
      case Activation::kClampedSwiglu:
        return std::min(v, 7.0) / (1 + std::exp(-1.702 * std::min(v, 7.0)));
      default:
        return v > 0 ? v * v : 0.0;
    }
  };
  const auto count = static_cast<int64_t>(x.size());
  for (const Activation activation : kAll)
    for (const auto& variant : kVariants())
      for (const float up : {0.0F, 1.5F, -2.0F, 8.0F, -20.0F}) {  // 0: none
        const std::vector<float> ups(x.size(), up);
        std::vector<float> out(x.size());
        variant.run({}, {.activation = activation,
                         .gate = x.data(),
                         .up = up == 0.0F ? nullptr : ups.data(),
                         .gate_stride = count,
                         .up_stride = count,
                         .rows = 1,
                         .cols = count,
                         .out = out.data(),
                         .out_stride = count});
        double factor = up == 0.0F ? 1.0 : double{up};
        if (up != 0.0F && activation == Activation::kClampedSwiglu)
          factor = std::clamp(factor, -7.0, 7.0) + 1.0;
        for (size_t i = 0; i < x.size(); ++i)
          CHECK(out[i] == doctest::Approx(value(activation, double{x[i]}) * factor).epsilon(1e-5));
      }
}

TEST_CASE("activate: every remainder, misaligned") {
  for (const Activation activation : kAll)
    for (int64_t cols = 1; cols <= 70; ++cols) {
      const auto gate = random_floats(static_cast<size_t>(2 * cols), 1, 12.0F);
      const auto up = random_floats(static_cast<size_t>(2 * cols), 2);
      check_rows(activation, gate, up.data(), 2, cols, cols % 4);
      check_rows(activation, gate, nullptr, 2, cols, cols % 4);
    }
}

TEST_CASE("activate: shapes of real models") {
  for (const Activation activation : kAll)
    for (const int64_t cols : {4864, 5632, 11008}) {
      const auto up = random_floats(static_cast<size_t>(cols), 4);
      check_rows(activation, random_floats(static_cast<size_t>(cols), 3, 30.0F), up.data(), 1, cols,
                 0);
    }
}

TEST_CASE("activate: gates over the whole range, densely") {
  std::vector<float> gate;
  for (int i = -200000; i <= 200000; ++i) gate.push_back(static_cast<float>(i) * 0.00045F);
  for (const Activation activation : kAll)
    check_rows(activation, gate, nullptr, 1, static_cast<int64_t>(gate.size()), 0);
}

TEST_CASE("activate: no finite gate gives NaN, and a NaN is not hidden") {
  const float largest = std::numeric_limits<float>::max();
  const std::vector<float> gate = {0.0F,  -0.0F,  87.3F,   -87.3F,   88.3F,  -88.3F,
                                   88.4F, -88.4F, 89.0F,   -89.0F,   104.0F, -104.0F,
                                   1e4F,  -1e4F,  largest, -largest, 1e-40F, -1e-40F};
  const auto count = static_cast<int64_t>(gate.size());
  const std::vector<float> half(gate.size(), 0.5F);
  check_rows(Activation::kSilu, gate, half.data(), 1, count, 0);
  for (const Activation activation : kAll)
    for (const auto& variant : kVariants()) {
      std::vector<float> in = gate;
      in.push_back(std::numeric_limits<float>::quiet_NaN());
      std::vector<float> out(in.size());
      variant.run({}, {.activation = activation,
                       .gate = in.data(),
                       .gate_stride = count + 1,
                       .rows = 1,
                       .cols = count + 1,
                       .out = out.data(),
                       .out_stride = count + 1});
      for (size_t i = 0; i < gate.size(); ++i) CHECK(!std::isnan(out[i]));
      CHECK(std::isnan(out.back()));
      CHECK(out[0] == 0.0F);
      CHECK(out[15] == 0.0F);
      if (activation == Activation::kReluSquared)
        CHECK(std::isinf(out[14]));
      else
        CHECK(out[14] == (activation == Activation::kClampedSwiglu
                              ? doctest::Approx(7.0 / (1.0 + std::exp(-1.702 * 7.0)))
                              : doctest::Approx(largest)));
    }
}

TEST_CASE("activate: out may be gate; batch and threads do not change the bits") {
  constexpr int64_t kRows = 21;
  constexpr int64_t kCols = 533;
  const auto gate = random_floats(kRows * kCols, 5, 10.0F);
  const auto up = random_floats(kRows * kCols, 6);
  for (const auto& variant : kVariants()) {
    ActivateArgs args{.activation = Activation::kGelu,
                      .gate_stride = kCols,
                      .up_stride = kCols,
                      .cols = kCols,
                      .out_stride = kCols};
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
