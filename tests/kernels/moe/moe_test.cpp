#include "kernels/moe/moe.h"

#include <algorithm>
#include <array>

#include "kernels/matmul/matmul.h"
#include "kernels/quant/quantize_rows.h"
#include "kernels/quant/quantize_weights.h"
#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

struct Routed {
  std::vector<int32_t> chosen, begin, source, slot;
  std::vector<float> weight;
};

Routed route(const std::vector<float>& logits, int32_t experts, int32_t used,
             Router router = Router::kSoftmaxChosen, float scale = 1.0F,
             ThreadPool* pool = nullptr) {
  const size_t rows = logits.size() / static_cast<size_t>(experts);
  const size_t slots = rows * static_cast<size_t>(used);
  Routed out{.chosen = std::vector<int32_t>(slots),
             .begin = std::vector<int32_t>(static_cast<size_t>(experts) + 1),
             .source = std::vector<int32_t>(slots),
             .slot = std::vector<int32_t>(slots),
             .weight = std::vector<float>(slots)};
  route_ref({.pool = pool}, {.logits = logits.data(),
                             .rows = static_cast<int64_t>(rows),
                             .experts = experts,
                             .used = used,
                             .router = router,
                             .scale = scale,
                             .chosen = out.chosen.data(),
                             .weight = out.weight.data(),
                             .begin = out.begin.data(),
                             .source = out.source.data(),
                             .slot = out.slot.data()});
  return out;
}

/// Experts' matrices [n, cols] of one type, and rows of input in both forms.
struct Experts {
  Experts(DType dtype, int32_t experts, int64_t n, int64_t cols, int64_t slots)
      : bytes(static_cast<size_t>(experts * n) * row_bytes(dtype, cols)),
        bias(random_floats(static_cast<size_t>(experts * n), 11)),
        f32(random_floats(static_cast<size_t>(slots * cols), 12)),
        q(f32.size()),
        scale(f32.size() / 32),
        sum16(f32.size() / 16) {
    const size_t row = row_bytes(dtype, cols);
    const auto values = random_floats(static_cast<size_t>(experts * n * cols), 13);
    for (int64_t r = 0; r < experts * n; ++r)
      quant::quantize_row(dtype, values.data() + r * cols,
                          bytes.data() + static_cast<size_t>(r) * row, cols);
    for (int32_t e = 0; e < experts; ++e)
      weights.push_back({.data = bytes.data() + static_cast<size_t>(e * n) * row,
                         .dtype = dtype,
                         .rows = n,
                         .cols = cols,
                         .row_bytes = row});
    x = {.f32 = f32.data(),
         .q8 = {q.data(), scale.data(), sum16.data()},
         .rows = slots,
         .cols = cols};
    if (cols % 32 == 0)
      quantize_ref({}, {.x = f32.data(), .rows = slots, .cols = cols, .out = x.q8});
  }

  std::vector<uint8_t> bytes;
  std::vector<float> bias, f32;
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int16_t> sum16;
  std::vector<WeightView> weights;
  ActivationView x;
};

struct ExpertVariant {
  std::string name;
  void (*experts)(const ExecContext&, const ActivationView&, const ExpertMatmulArgs&);
  void (*matmul)(const ExecContext&, const ActivationView&, const MatmulArgs*, int);
};

std::vector<ExpertVariant> expert_variants() {
  std::vector<ExpertVariant> list;
  for (const KernelTable* table : tables_here())
    list.push_back({std::string(table->name), table->expert_matmul, table->matmul});
  return list;
}

}  // namespace

TEST_CASE("route: the largest logits in falling order, the lower number first of equals") {
  const std::vector<float> logits = {1.0F, 3.0F,  2.0F, 3.0F, -1.0F,  //
                                     0.0F, 0.0F,  0.0F, 0.0F, 0.0F,   //
                                     9.0F, -9.0F, 8.0F, 7.0F, 7.5F};
  const Routed r = route(logits, 5, 3);
  CHECK(r.chosen == std::vector<int32_t>{1, 3, 2, 0, 1, 2, 0, 2, 4});
  // Slots: expert 0 has rows 1 and 2, expert 1 rows 0 and 1, expert 2 all, expert 3 row 0, 4 row 2.
  CHECK(r.begin == std::vector<int32_t>{0, 2, 4, 7, 8, 9});
  CHECK(r.source == std::vector<int32_t>{3, 6, 0, 4, 2, 5, 7, 1, 8});
  for (size_t i = 0; i < r.slot.size(); ++i)
    CHECK(r.source[static_cast<size_t>(r.slot[i])] == static_cast<int32_t>(i));
}

TEST_CASE("route: weights of each kind of router") {
  const std::vector<float> logits = {0.5F, -1.0F, 2.0F, 1.0F};
  const double all = std::exp(0.5) + std::exp(-1.0) + std::exp(2.0) + std::exp(1.0);
  const double two = std::exp(2.0) + std::exp(1.0);
  const Routed softmax = route(logits, 4, 2, Router::kSoftmax);
  CHECK(softmax.weight[0] == doctest::Approx(std::exp(2.0) / all));
  CHECK(softmax.weight[1] == doctest::Approx(std::exp(1.0) / all));
  const Routed chosen = route(logits, 4, 2, Router::kSoftmaxChosen, 2.5F);
  CHECK(chosen.weight[0] == doctest::Approx(2.5 * std::exp(2.0) / two));
  CHECK(chosen.weight[1] == doctest::Approx(2.5 * std::exp(1.0) / two));
  const Routed sigmoid = route(logits, 4, 2, Router::kSigmoid);
  CHECK(sigmoid.weight[0] == doctest::Approx(1 / (1 + std::exp(-2.0))));
  CHECK(sigmoid.weight[1] == doctest::Approx(1 / (1 + std::exp(-1.0))));
  const Routed far = route({-3e38F, 3e38F, 0.0F}, 3, 3);
  CHECK(far.weight == std::vector<float>{1.0F, 0.0F, 0.0F});
}

TEST_CASE("route: logits that are not numbers still give distinct experts") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& logits :
       {std::vector<float>{nan, nan, nan, nan}, {1.0F, nan, 2.0F, nan}}) {
    Routed r = route(logits, 4, 4);
    CHECK(r.begin == std::vector<int32_t>{0, 1, 2, 3, 4});
  }
}

TEST_CASE("route: a row's experts and weights do not depend on the rows beside or the threads") {
  constexpr int32_t kExperts = 60;
  constexpr int32_t kUsed = 7;
  constexpr size_t kRows = 200;
  const auto logits = random_floats(kRows * kExperts, 5, 3.0F);
  ThreadPool pool(3);
  const Routed all = route(logits, kExperts, kUsed, Router::kSoftmaxChosen, 1.0F, &pool);
  for (size_t row = 0; row < kRows; ++row) {
    const Routed alone = route({logits.begin() + static_cast<ptrdiff_t>(row * kExperts),
                                logits.begin() + static_cast<ptrdiff_t>((row + 1) * kExperts)},
                               kExperts, kUsed);
    for (size_t rank = 0; rank < kUsed; ++rank) {
      REQUIRE(alone.chosen[rank] == all.chosen[row * kUsed + rank]);
      REQUIRE(alone.weight[rank] == all.weight[row * kUsed + rank]);
    }
  }
  for (size_t e = 0; e < kExperts; ++e)
    for (int32_t s = all.begin[e]; s < all.begin[e + 1]; ++s) {
      const auto at = static_cast<size_t>(s);
      REQUIRE(all.chosen[static_cast<size_t>(all.source[at])] == static_cast<int32_t>(e));
      if (s > all.begin[e]) REQUIRE(all.source[at] > all.source[at - 1]);
    }
}

TEST_CASE("gather: rows to their slots, weighted if asked for") {
  constexpr int64_t kCols = 37;
  const std::vector<int32_t> source = {3, 0, 5, 1, 4, 2};
  const std::vector<float> weight = {1.0F, 2.0F, 0.5F, -1.0F, 0.0F, 3.0F};
  const auto x = random_floats(3 * kCols, 1);
  for (const bool weighted : {false, true}) {
    PoisonedRows out(6, kCols, kCols);
    gather_ref({}, {.x = x.data(),
                    .source = source.data(),
                    .weight = weighted ? weight.data() : nullptr,
                    .slots = 6,
                    .used = 2,
                    .cols = kCols,
                    .out = out.data()});
    CHECK(out.surroundings_untouched());
    for (size_t s = 0; s < 6; ++s)
      for (int64_t i = 0; i < kCols; ++i)
        CHECK(out.row(static_cast<int64_t>(s))[i] ==
              x[static_cast<size_t>(source[s] / 2 * kCols + i)] *
                  (weighted ? weight[static_cast<size_t>(source[s])] : 1.0F));
  }
}

TEST_CASE("expert_matmul: each slot's bits are those of its expert's matrix alone") {
  constexpr int32_t kExperts = 5;
  const std::vector<int32_t> begin = {0, 1, 1, 8, 10, 31};  // 1, 0, 7, 2 and 21 slots
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_1})
    for (const auto& [n, cols] : {std::pair<int64_t, int64_t>{48, 64}, {133, 320}, {7, 32}}) {
      const Experts experts(dtype, kExperts, n, cols, begin.back());
      for (const auto& variant : expert_variants())
        for (const int threads : {0, 1, 2, 3})
          for (const bool with_bias : {false, true}) {
            CAPTURE(variant.name);
            CAPTURE(threads);
            std::unique_ptr<ThreadPool> pool;
            if (threads > 0) pool = std::make_unique<ThreadPool>(threads);
            PoisonedRows out(begin.back(), n, n);
            variant.experts({.pool = pool.get()}, experts.x,
                            {.weights = experts.weights.data(),
                             .bias = with_bias ? experts.bias.data() : nullptr,
                             .begin = begin.data(),
                             .experts = kExperts,
                             .out = out.data()});
            CHECK(out.surroundings_untouched());
            for (int32_t e = 0; e < kExperts; ++e)
              for (int32_t s = begin[static_cast<size_t>(e)]; s < begin[static_cast<size_t>(e) + 1];
                   ++s) {
                ActivationView row = experts.x;
                row.rows = 1;
                row.f32 += s * cols;
                row.q8.q += s * cols;
                row.q8.scale += s * (cols / 32);
                row.q8.sum16 += s * (cols / 16);
                std::vector<float> alone(static_cast<size_t>(n));
                const MatmulArgs job{.weight = experts.weights[static_cast<size_t>(e)],
                                     .bias = with_bias ? experts.bias.data() + e * n : nullptr,
                                     .out = alone.data(),
                                     .out_stride = n};
                variant.matmul({}, row, &job, 1);
                REQUIRE(same_bits(out.row(s), alone.data(), n));
              }
          }
    }
}

TEST_CASE("combine: ranks in order, times weights, added to what was there") {
  for (const int64_t cols : {1, 8, 19, 64, 301})
    for (const bool accumulate : {false, true})
      for (const bool weighted : {false, true}) {
        constexpr int64_t kRows = 9;
        constexpr int32_t kUsed = 3;
        const auto x = random_floats(static_cast<size_t>(kRows * kUsed * cols), 1);
        const auto weight = random_floats(kRows * kUsed, 2);
        const auto base = random_floats(static_cast<size_t>(kRows * cols), 3);
        std::vector<int32_t> slot(kRows * kUsed);
        for (size_t i = 0; i < slot.size(); ++i)
          slot[i] = static_cast<int32_t>(i * 10 % slot.size());
        std::vector<float> expected;
        for (const auto& variant : variants(&KernelTable::combine)) {
          CombineArgs args{.x = x.data(),
                           .slot = slot.data(),
                           .weight = weighted ? weight.data() : nullptr,
                           .rows = kRows,
                           .used = kUsed,
                           .cols = cols,
                           .accumulate = accumulate};
          PoisonedRows out(kRows, cols, cols, 1);
          std::copy(base.begin(), base.end(), out.data());
          args.out = out.data();
          variant.run({}, args);
          CHECK(out.surroundings_untouched());
          if (variant.name == "ref") expected.assign(out.row(0), out.row(0) + kRows * cols);
          check_close(variant.name, out.row(0), expected.data(), kRows * cols,
                      [](int64_t) { return 8 * 0x1p-23; });
          ThreadPool pool(3);
          std::vector<float> together = base;
          args.out = together.data();
          variant.run({.pool = &pool}, args);
          CHECK(same_bits(together.data(), out.row(0), kRows * cols));
        }
      }
}
