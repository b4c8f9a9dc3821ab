#include "kernels/quant/quantize_rows.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/cpu/kernel_test.h"

namespace hearth::kernels {
namespace {

using QuantizeFn = void (*)(const ExecContext&, const QuantizeArgs&);

struct Rows {
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int16_t> sum16;

  // Bytes, so that NaN scales compare too.
  [[nodiscard]] bool same_bits(const Rows& other) const {
    return q == other.q && sum16 == other.sum16 &&
           std::memcmp(scale.data(), other.scale.data(), scale.size() * sizeof(float)) == 0;
  }
};

Rows quantize(QuantizeFn fn, const std::vector<float>& x, int64_t cols,
              ThreadPool* pool = nullptr) {
  Rows rows{std::vector<int8_t>(x.size(), 99), std::vector<float>(x.size() / 32, -1.0F),
            std::vector<int16_t>(x.size() / 16, 9999)};
  fn(ExecContext{pool, nullptr},
     QuantizeArgs{x.data(),
                  static_cast<int64_t>(x.size()) / cols,
                  cols,
                  {rows.q.data(), rows.scale.data(), rows.sum16.data()}});
  return rows;
}

std::vector<testing::Variant<QuantizeArgs>> variants() {
  return testing::variants(&KernelTable::quantize);
}

TEST_CASE("a block that lies on a grid keeps its values; sums of halves") {
  std::vector<float> x(32, 0.0F);
  x[0] = -127.0F;  // the scale is exactly 1
  x[1] = 2.0F;
  x[2] = 4.0F;
  x[31] = 64.0F;
  const Rows rows = quantize(quantize_ref, x, 32);
  CHECK(rows.scale[0] == doctest::Approx(1.0F));
  CHECK(rows.q[0] == -127);
  CHECK(rows.q[1] == 2);
  CHECK(rows.q[2] == 4);
  CHECK(rows.q[3] == 0);
  CHECK(rows.q[31] == 64);
  CHECK(rows.sum16[0] == -127 + 2 + 4);
  CHECK(rows.sum16[1] == 64);
}

TEST_CASE("the grid that is chosen beats max|x| / 127 by a sixth of the squared error") {
  std::mt19937 rng(5);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> x(32 * 1000);
  for (float& value : x) value = normal(rng);
  const Rows rows = quantize(quantize_ref, x, 32);
  double ours = 0.0;
  double plain = 0.0;
  for (size_t block = 0; block < x.size() / 32; ++block) {
    float largest = 0.0F;
    for (size_t i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(x[block * 32 + i]));
    const float step = largest / 127.0F;
    double block_ours = 0.0;
    for (size_t i = 0; i < 32; ++i) {
      const float value = x[block * 32 + i];
      block_ours += std::pow(value - rows.scale[block] * rows.q[block * 32 + i], 2);
      plain += std::pow(value - step * std::nearbyint(value / step), 2);
    }
    CHECK(block_ours <= 32 * 0.25 * step * step * 1.06);
    ours += block_ours;
  }
  CHECK(ours < 0.86 * plain);
}

TEST_CASE("variants give the reference's bits") {
  std::mt19937 rng(2);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  for (const auto& variant : variants()) {
    for (const float scale : {1.0F, 1e-30F, 1e30F, 1e-38F, 3e-41F}) {
      std::vector<float> x(32 * 21 * 5);
      for (float& value : x) value = normal(rng) * scale;
      INFO(variant.name, " scale ", scale);
      CHECK(quantize(variant.run, x, 32 * 21).same_bits(quantize(quantize_ref, x, 32 * 21)));
      for (int threads = 2; threads <= 3; ++threads) {
        ThreadPool pool(threads, /*pin=*/false);
        CHECK(
            quantize(variant.run, x, 32 * 21, &pool).same_bits(quantize(quantize_ref, x, 32 * 21)));
      }
    }
  }
}

TEST_CASE("blocks that are zero, subnormal, largest or not finite") {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const float special : {0.0F, -0.0F, 1e-45F, 1e-40F, std::numeric_limits<float>::min() * 127,
                              std::numeric_limits<float>::max(), kInf, -kInf, kNan}) {
    std::vector<float> x(64, 0.0F);
    x[5] = special;
    x[40] = 1.0F;  // the block beside it is not touched
    const Rows expected = quantize(quantize_ref, x, 64);
    if (std::isfinite(special)) {
      CHECK(std::isfinite(expected.scale[0]));
      const double back = static_cast<double>(expected.scale[0]) * expected.q[5];
      CHECK(std::fabs(back - special) <= std::fabs(special) * 1e-6 + 1.5e-36);
    } else {
      CHECK_FALSE(std::isfinite(expected.scale[0]));
    }
    CHECK(expected.q[40] == 127);
    for (const auto& variant : variants()) {
      INFO(variant.name, " value ", special);
      CHECK(quantize(variant.run, x, 64).same_bits(expected));
    }
  }
}

}  // namespace
}  // namespace hearth::kernels
