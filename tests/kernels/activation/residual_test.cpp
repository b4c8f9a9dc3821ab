#include "kernels/activation/residual.h"

#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kScales = [] { return variants(&KernelTable::scale); };
const auto kAdds = [] { return variants(&KernelTable::add); };

void check_scale(const std::vector<float>& x, float scale, float softcap) {
  const auto count = static_cast<int64_t>(x.size());
  for (const auto& variant : kScales()) {
    PoisonedRows out(1, count, count, 1);
    std::copy(x.begin(), x.end(), out.data());
    variant.run({}, {.x = out.data(), .count = count, .scale = scale, .softcap = softcap});
    CHECK(out.surroundings_untouched());
    std::vector<float> expected;
    for (const float value : x) {
      const double scaled = double{value} * scale;
      expected.push_back(static_cast<float>(
          softcap > 0.0F ? softcap * std::tanh(scaled / double{softcap}) : scaled));
    }
    check_close(variant.name, out.row(0), expected.data(), count,
                relative_bound(expected.data(), 5.0, 1e-44));
  }
}

}  // namespace

TEST_CASE("scale: every remainder, with and without a soft cap") {
  for (size_t count = 1; count <= 70; ++count)
    for (const float softcap : {0.0F, 1.0F, 30.0F})
      check_scale(random_floats(count, count, 50.0F), 0.25F, softcap);
}

TEST_CASE("scale: the soft cap over the whole range, densely") {
  std::vector<float> x;
  for (int i = -100000; i <= 100000; ++i) x.push_back(static_cast<float>(i) * 0.00012F);
  for (int e = -126; e < 127; ++e) x.push_back(std::ldexp(-1.3F, e));
  check_scale(x, 1.0F, 1.0F);
  for (const auto& variant : kScales()) {
    float nan = std::numeric_limits<float>::quiet_NaN();
    variant.run({}, {.x = &nan, .count = 1, .scale = 1.0F, .softcap = 30.0F});
    CHECK(std::isnan(nan));
  }
}

TEST_CASE("add: every remainder; threads do not change the bits") {
  for (const int64_t count : {1, 7, 8, 31, 70, 50001}) {
    const auto x = random_floats(static_cast<size_t>(count), 1);
    const auto base = random_floats(static_cast<size_t>(count), 2);
    std::vector<float> expected;
    for (size_t i = 0; i < x.size(); ++i)
      expected.push_back(static_cast<float>(base[i] + double{x[i]} * 0.22F));
    for (const auto& variant : kAdds()) {
      PoisonedRows out(1, count, count, 3);
      std::copy(base.begin(), base.end(), out.data());
      variant.run({}, {.x = x.data(), .scale = 0.22F, .count = count, .out = out.data()});
      CHECK(out.surroundings_untouched());
      CHECK(same_bits(out.row(0), expected.data(), count));
      ThreadPool pool(3);
      std::vector<float> together = base;
      variant.run({.pool = &pool},
                  {.x = x.data(), .scale = 0.22F, .count = count, .out = together.data()});
      CHECK(same_bits(out.row(0), together.data(), count));
    }
  }
}
