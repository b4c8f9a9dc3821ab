// The device's small ops against the scalar reference.

#include <algorithm>
#include <numeric>

#include "kernels/activation/activate.h"
#include "kernels/activation/residual.h"
#include "kernels/embedding/embed.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/layer_norm.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/quant/half.h"
#include "kernels/rope/rope.h"
#include "tests/kernels/cpu/kernel_test.h"
#include "tests/kernels/cuda/support_device.h"
#include "tests/kernels/matmul/support_matmul.h"

namespace hearth::kernels {
namespace {

using testing::check_close;
using testing::on_device;
using testing::random_floats;
using testing::test_devices;
using testing::use_device;

size_t count_of(int64_t rows, int64_t cols) { return static_cast<size_t>(rows * cols); }

/// HalfRows::sum32.
float sum_of_pair(uint32_t pair) {
  return f16_to_f32(static_cast<uint16_t>(pair)) + f16_to_f32(static_cast<uint16_t>(pair >> 16));
}

}  // namespace

TEST_CASE("device norms: short and long rows, strides, in place") {
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const int64_t cols : {1, 31, 64, 512, 513, 1100, 4096}) {
      const int64_t rows = cols > 1000 ? 2 : 5;
      const auto x = random_floats(count_of(rows, cols + 3), 1, 3.0F);
      const auto weight = random_floats(count_of(1, cols), 2);
      const auto bias = random_floats(count_of(1, cols), 3);
      INFO("cols ", cols);
      const auto check = [&](auto args, auto ref) {
        std::vector<float> expected = x;
        std::vector<float> actual = x;
        args.out = expected.data();
        args.x = args.x == nullptr ? expected.data() : x.data();
        ref({}, args);
        args.out = actual.data();
        if (args.x == expected.data()) args.x = actual.data();
        on_device({}, args);
        check_close("norm", actual.data(), expected.data(), static_cast<int64_t>(x.size()),
                    [](int64_t) { return 2e-5; });
      };
      for (const float* in : {static_cast<const float*>(nullptr), x.data()}) {
        check(RmsNormArgs{.x = in,
                          .x_stride = cols + 3,
                          .weight = weight.data(),
                          .eps = 1e-5F,
                          .rows = rows,
                          .cols = cols,
                          .out = nullptr,
                          .out_stride = cols + 3},
              rms_norm_ref);
        check(RmsNormArgs{.x = in,
                          .x_stride = cols + 3,
                          .weight = nullptr,
                          .eps = 1e-5F,
                          .rows = rows,
                          .cols = cols,
                          .out = nullptr,
                          .out_stride = cols + 3},
              rms_norm_ref);
        check(LayerNormArgs{.x = in,
                            .x_stride = cols + 3,
                            .weight = weight.data(),
                            .bias = bias.data(),
                            .eps = 1e-3F,
                            .rows = rows,
                            .cols = cols,
                            .out = nullptr,
                            .out_stride = cols + 3},
              layer_norm_ref);
      }
    }
  }
}

TEST_CASE("device quantize: 16-bit floats, a power of two for each part, sums of what is there") {
  constexpr int64_t kRows = 3;
  constexpr int64_t kCols = 2080;  // nine steps of 256, the last one short
  for (Device* device : test_devices()) {
    use_device(*device);
    auto x = random_floats(count_of(kRows, kCols), 9, 40.0F);
    std::fill_n(x.begin() + 64, 32, 0.0F);
    std::fill_n(x.begin() + 96, 32, 1e-40F);
    for (int64_t i = kCols; i < 2 * kCols; ++i) x[static_cast<size_t>(i)] *= 1e30F;
    std::vector<uint16_t> value(x.size(), 99);
    std::vector<float> scale(count_of(kRows, HalfRows::kParts), -7.0F);
    std::vector<uint32_t> sum32(x.size() / 32, 99);
    std::vector<float> sum16(x.size() / 16, -7.0F);
    on_device(
        {},
        QuantizeArgs{
            x.data(), kRows, kCols, {}, {value.data(), scale.data(), sum32.data(), sum16.data()}});
    const auto part_of = [](int64_t i) {
      int64_t part = 0;
      while (9 * (part + 1) / HalfRows::kParts <= i / 256) ++part;
      return part;
    };
    std::vector<double> largest(scale.size(), 0.0);
    const auto scale_at = [&](int64_t r, int64_t i) {
      return static_cast<size_t>(r * HalfRows::kParts + part_of(i));
    };
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t i = 0; i < kCols; ++i) {
        double& most = largest[scale_at(r, i)];
        most = std::max(most, std::fabs(double{x[static_cast<size_t>(r * kCols + i)]}));
      }
    for (size_t p = 0; p < scale.size(); ++p) {
      int exponent = 0;
      CHECK(std::frexp(scale[p], &exponent) == 0.5F);
      CHECK(largest[p] / scale[p] >= 512.0);
      CHECK(largest[p] / scale[p] < 1024.0);
    }
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t i = 0; i < kCols; ++i) {
        const auto at = static_cast<size_t>(r * kCols + i);
        REQUIRE(value[at] == f32_to_f16(x[at] / scale[scale_at(r, i)]));
      }
    for (size_t s = 0; s < sum16.size(); ++s) {
      double sum = 0.0;
      for (size_t i = 0; i < 16; ++i) sum += double{f16_to_f32(value[16 * s + i])};
      REQUIRE(sum16[s] == doctest::Approx(sum).epsilon(1e-5));
      if (s % 2 == 1) {
        const float both = sum16[s - 1] + sum16[s];
        REQUIRE(std::fabs(sum_of_pair(sum32[s / 2]) - both) <=
                std::fabs(both) * 0x1p-22F + 0x1p-25F);
      }
    }
  }
}

TEST_CASE("device quantize: what is not finite stays so") {
  for (Device* device : test_devices()) {
    use_device(*device);
    std::vector<float> x(512, 1.0F);
    x[160] = std::numeric_limits<float>::infinity();
    x[300] = std::numeric_limits<float>::quiet_NaN();
    std::vector<uint16_t> value(512);
    std::vector<float> scale(HalfRows::kParts);
    std::vector<uint32_t> sum32(16);
    std::vector<float> sum16(32);
    on_device({},
              QuantizeArgs{
                  x.data(), 1, 512, {}, {value.data(), scale.data(), sum32.data(), sum16.data()}});
    CHECK(value[160] == 0x7C00);
    CHECK(std::isnan(f16_to_f32(value[300])));
    CHECK(std::isinf(sum_of_pair(sum32[160 / 32])));
    CHECK(std::isnan(sum_of_pair(sum32[300 / 32])));
    CHECK(sum_of_pair(sum32[0]) == 32.0F);
  }
}

TEST_CASE("device rope: both styles, part of a head") {
  for (Device* device : test_devices()) {
    use_device(*device);
    const std::vector<int32_t> positions{0, 5, 100'000};
    for (const int32_t rotary : {2, 8, 24}) {
      std::vector<double> frequency;
      for (int32_t i = 0; i < rotary / 2; ++i)
        frequency.push_back(std::pow(1e4, -2.0 * i / rotary));
      std::vector<float> table[2];
      for (int i = 0; i < 2; ++i) {
        table[i].assign(count_of(3, rotary), 9.0F);
        const RopeTableArgs args{positions.data(), 3,    frequency.data(),
                                 rotary,           1.5F, table[i].data()};
        i == 0 ? rope_table_ref({}, args) : on_device({}, args);
      }
      check_close("rope_table", table[1].data(), table[0].data(), 3 * rotary,
                  [](int64_t) { return 2e-7; });
      for (const RopeStyle style : {RopeStyle::kInterleaved, RopeStyle::kHalves}) {
        auto expected = random_floats(count_of(3, 3 * 24 + 5), 4);
        auto actual = expected;
        RopeArgs args{.x = expected.data(),
                      .x_stride = 3 * 24 + 5,
                      .rows = 3,
                      .num_heads = 3,
                      .head_dim = 24,
                      .rotary_dim = rotary,
                      .style = style,
                      .table = table[0].data()};
        rope_ref({}, args);
        args.x = actual.data();
        on_device({}, args);
        check_close("rope", actual.data(), expected.data(), static_cast<int64_t>(actual.size()),
                    [](int64_t) { return 0x1p-21; });
      }
    }
  }
}

TEST_CASE("device embed: every type, scaled and added") {
  for (Device* device : test_devices()) {
    use_device(*device);
    std::mt19937 rng(8);
    const std::vector<int32_t> tokens{6, 0, 3};
    for (const DType dtype : test::kAllTypes) {
      const test::Weights table(dtype, 7, 512, 1.0F, rng);
      auto expected = random_floats(count_of(3, 512), 2);
      auto actual = expected;
      for (const bool accumulate : {false, true}) {
        EmbedArgs args{table.view, tokens.data(), 3, 1.5F, accumulate, expected.data()};
        embed_ref({}, args);
        args.out = actual.data();
        on_device({}, args);
        INFO(std::string(dtype_info(dtype).name));
        CHECK(testing::same_bits(actual.data(), expected.data(), 3 * 512));
      }
    }
  }
}

TEST_CASE("device activate, scale and add") {
  for (Device* device : test_devices()) {
    use_device(*device);
    auto gate = random_floats(count_of(4, 100), 1, 12.0F);
    gate[0] = 90.0F;
    gate[1] = -90.0F;
    gate[2] = 0.0F;
    const auto up = random_floats(count_of(4, 110), 2, 9.0F);
    for (const Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                                        Activation::kClampedSwiglu, Activation::kReluSquared})
      for (const bool gated : {true, false}) {
        auto expected = gate;
        auto actual = gate;
        ActivateArgs args{.activation = activation,
                          .gate = expected.data(),
                          .up = gated ? up.data() : nullptr,
                          .gate_stride = 100,
                          .up_stride = 110,
                          .rows = 4,
                          .cols = 100,
                          .out = expected.data(),
                          .out_stride = 100};
        activate_ref({}, args);
        args.gate = args.out = actual.data();
        on_device({}, args);
        check_close("activate", actual.data(), expected.data(), 400, [&](int64_t i) {
          return 2e-6 * std::fabs(expected[static_cast<size_t>(i)]) + 1e-6;
        });
      }
    for (const float cap : {0.0F, 30.0F}) {
      auto expected = gate;
      auto actual = gate;
      scale_ref({}, {expected.data(), 400, 0.7F, cap});
      on_device({}, ScaleArgs{actual.data(), 400, 0.7F, cap});
      check_close("scale", actual.data(), expected.data(), 400, [](int64_t) { return 2e-5; });
      add_ref({}, {up.data(), 0.3F, 400, expected.data()});
      on_device({}, AddArgs{up.data(), 0.3F, 400, actual.data()});
      check_close("add", actual.data(), expected.data(), 400, [](int64_t) { return 4e-5; });
    }
  }
}

namespace {

struct Routed {
  Routed(int64_t rows, int32_t experts, int32_t used)
      : chosen(count_of(rows, used), -1),
        weight(count_of(rows, used), -1.0F),
        begin(static_cast<size_t>(experts) + 1, -1),
        source(count_of(rows, used), -1),
        slot(count_of(rows, used), -1) {}
  RouteArgs args(const std::vector<float>& logits, int64_t rows, int32_t experts, int32_t used,
                 Router router) {
    return {logits.data(), rows,          experts,      used,          router,     1.25F,
            chosen.data(), weight.data(), begin.data(), source.data(), slot.data()};
  }
  std::vector<int32_t> chosen;
  std::vector<float> weight;
  std::vector<int32_t> begin;
  std::vector<int32_t> source;
  std::vector<int32_t> slot;
};

}  // namespace

TEST_CASE("device experts: route, gather, expert_matmul, combine") {
  struct Shape {
    int64_t rows;
    int32_t experts;
    int32_t used;
  };
  for (Device* device : test_devices()) {
    use_device(*device);
    for (const Shape& s : {Shape{1, 4, 2}, Shape{37, 5, 3}, Shape{70, 3, 2}, Shape{260, 4, 2},
                           Shape{6, 128, 8}, Shape{2, 1, 1}})
      for (const Router router : {Router::kSoftmax, Router::kSoftmaxChosen, Router::kSigmoid}) {
        INFO("rows ", s.rows, " experts ", s.experts, " used ", s.used);
        auto logits = random_floats(count_of(s.rows, s.experts), 3, 4.0F);
        if (s.experts > 2) logits[1] = logits[2];  // equals: the lower number first
        Routed expected(s.rows, s.experts, s.used);
        Routed actual(s.rows, s.experts, s.used);
        route_ref({}, expected.args(logits, s.rows, s.experts, s.used, router));
        on_device({}, actual.args(logits, s.rows, s.experts, s.used, router));
        REQUIRE(actual.chosen == expected.chosen);
        REQUIRE(actual.begin == expected.begin);
        REQUIRE(actual.source == expected.source);
        REQUIRE(actual.slot == expected.slot);
        check_close("route", actual.weight.data(), expected.weight.data(), s.rows * s.used,
                    [](int64_t) { return 1e-6; });
        if (router != Router::kSoftmax) continue;

        const int64_t slots = s.rows * s.used;
        const auto x = random_floats(count_of(s.rows, 64), 5);
        const float* expected_weight = expected.weight.data();
        for (const float* weight : {static_cast<const float*>(nullptr), expected_weight}) {
          std::vector<float> out[2];
          for (int i = 0; i < 2; ++i) {
            out[i].assign(count_of(slots, 64), -3.0F);
            const GatherArgs args{x.data(), expected.source.data(), weight, slots, s.used,
                                  64,       out[i].data()};
            i == 0 ? gather_ref({}, args) : on_device({}, args);
          }
          CHECK(out[0] == out[1]);
          for (const bool accumulate : {false, true}) {
            std::vector<float> sum[2];
            for (int i = 0; i < 2; ++i) {
              sum[i].assign(count_of(s.rows, 64), 2.0F);
              const CombineArgs args{
                  out[0].data(), expected.slot.data(), weight, s.rows, s.used, 64,
                  accumulate,    sum[i].data()};
              i == 0 ? combine_ref({}, args) : on_device({}, args);
            }
            check_close("combine", sum[1].data(), sum[0].data(), s.rows * 64,
                        [](int64_t) { return 5e-6; });
          }
        }

        std::mt19937 rng(4);
        for (const DType dtype : {DType::kQ4_0, DType::kF16, DType::kF32, DType::kQ4_0F32Pairs}) {
          constexpr int64_t kOutputs = 24;
          const test::Weights all(dtype, kOutputs * s.experts, 64, 0.1F, rng);
          const test::Input input(slots, 64, 1.0F, rng);
          std::vector<WeightView> weights;
          for (int32_t e = 0; e < s.experts; ++e) {
            WeightView view = all.view;
            view.rows = kOutputs;
            view.data = all.bytes.data() + static_cast<size_t>(e * kOutputs) * view.row_bytes;
            weights.push_back(view);
          }
          const auto bias = random_floats(count_of(s.experts, kOutputs), 6);
          std::vector<float> out[2];
          for (int i = 0; i < 2; ++i) {
            out[i].assign(count_of(slots, kOutputs), -5.0F);
            const ExpertMatmulArgs args{weights.data(), bias.data(), expected.begin.data(),
                                        s.experts, out[i].data()};
            i == 0 ? expert_matmul_ref({}, input.view(slots), args)
                   : testing::expert_matmul_on_device({}, input.view(slots), args);
          }
          INFO(std::string(dtype_info(dtype).name));
          // A row of weights, whose magnitudes sum up to some 5, meets x rounded to 11 bits; the
          // reference rounds that of quantized ones to 7 of a block's largest value.
          const double bound = dtype == DType::kF32 ? 1e-4 : dtype == DType::kF16 ? 2e-3 : 3e-2;
          check_close("expert_matmul", out[1].data(), out[0].data(), slots * kOutputs,
                      [bound](int64_t) { return bound; });
        }
      }
  }
}

}  // namespace hearth::kernels
