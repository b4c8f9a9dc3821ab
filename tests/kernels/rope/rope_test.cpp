#include "kernels/rope/rope.h"

#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(&KernelTable::rope); };

struct Table {
  std::vector<int32_t> positions;
  std::vector<double> frequencies;
  std::vector<float> values;
};

Table make_table(std::vector<int32_t> positions, int32_t rotary_dim,
                 const ExecContext& context = {}, float magnitude = 1.0F) {
  Table table{std::move(positions), {}, {}};
  for (int32_t i = 0; i < rotary_dim / 2; ++i)
    table.frequencies.push_back(std::pow(10000.0, -2.0 * i / rotary_dim));
  table.values.assign(table.positions.size() * static_cast<size_t>(rotary_dim), 7.0F);
  rope_table_ref(context, {.positions = table.positions.data(),
                           .rows = static_cast<int64_t>(table.positions.size()),
                           .inverse_frequency = table.frequencies.data(),
                           .rotary_dim = rotary_dim,
                           .magnitude = magnitude,
                           .table = table.values.data()});
  return table;
}

void check_shape(RopeStyle style, int32_t heads, int32_t head_dim, int32_t rotary_dim,
                 int64_t offset) {
  constexpr int64_t kRows = 3;
  const Table table = make_table({0, 1, 100000}, rotary_dim);
  const int64_t cols = int64_t{heads} * head_dim;
  const auto x = random_floats(static_cast<size_t>(kRows * cols), 3);
  std::vector<float> expected;
  for (const auto& variant : kVariants()) {
    PoisonedRows rows(kRows, cols, cols + 7, offset);
    for (int64_t r = 0; r < kRows; ++r)
      std::memcpy(rows.data() + r * (cols + 7), x.data() + r * cols,
                  static_cast<size_t>(cols) * sizeof(float));
    variant.run({}, {.x = rows.data(),
                     .x_stride = cols + 7,
                     .rows = kRows,
                     .num_heads = heads,
                     .head_dim = head_dim,
                     .rotary_dim = rotary_dim,
                     .style = style,
                     .table = table.values.data()});
    CHECK(rows.surroundings_untouched());
    for (int64_t r = 0; r < kRows; ++r) {
      if (variant.name == "ref") {
        expected.insert(expected.end(), rows.row(r), rows.row(r) + cols);
        continue;
      }
      // Two products of at most 1 and a sum, each rounded once.
      check_close(variant.name + ", rotary " + std::to_string(rotary_dim), rows.row(r),
                  expected.data() + r * cols, cols, [](int64_t) { return 0x1p-22; });
    }
  }
  for (int64_t r = 0; r < kRows; ++r)
    for (int32_t h = 0; h < heads; ++h)
      for (int32_t i = rotary_dim; i < head_dim; ++i) {
        const auto at = static_cast<size_t>(r * cols + int64_t{h} * head_dim + i);
        REQUIRE(expected[at] == x[at]);
      }
}

}  // namespace

TEST_CASE("rope_table: cosine and sine of position times frequency, times the magnitude") {
  const Table table = make_table({0, 3, 1000000}, 8, {}, 1.25F);
  for (size_t r = 0; r < 3; ++r)
    for (size_t i = 0; i < 4; ++i) {
      const double angle = table.positions[r] * table.frequencies[i];
      CHECK(table.values[r * 8 + 2 * i] == static_cast<float>(std::cos(angle) * 1.25));
      CHECK(table.values[r * 8 + 2 * i + 1] == static_cast<float>(std::sin(angle) * 1.25));
    }
  CHECK(table.values[0] == 1.25F);
  CHECK(table.values[1] == 0.0F);
}

TEST_CASE("rope_table: threads do not change it") {
  std::vector<int32_t> positions(77);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(31 * i);
  const Table alone = make_table(positions, 128);
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    CHECK(make_table(positions, 128, {.pool = &pool}).values == alone.values);
  }
}

TEST_CASE("rope: a quarter turn, by hand, in both styles") {
  const float table[] = {0.0F, 1.0F, 1.0F, 0.0F};  // 90 degrees, then 0
  for (const auto& variant : kVariants()) {
    float interleaved[] = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F};
    RopeArgs args{.x = interleaved,
                  .x_stride = 5,
                  .rows = 1,
                  .num_heads = 1,
                  .head_dim = 5,
                  .rotary_dim = 4,
                  .style = RopeStyle::kInterleaved,
                  .table = table};
    variant.run({}, args);
    const float turned[] = {-2.0F, 1.0F, 3.0F, 4.0F, 5.0F};
    for (int i = 0; i < 5; ++i) CHECK(interleaved[i] == turned[i]);

    float halves[] = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F};
    args.x = halves;
    args.style = RopeStyle::kHalves;
    variant.run({}, args);
    const float expected[] = {-3.0F, 2.0F, 1.0F, 4.0F, 5.0F};
    for (int i = 0; i < 5; ++i) CHECK(halves[i] == expected[i]);
  }
}

TEST_CASE("rope: every rotary size, partial heads, misaligned") {
  for (const RopeStyle style : {RopeStyle::kInterleaved, RopeStyle::kHalves}) {
    for (int32_t rotary = 2; rotary <= 80; rotary += 2)
      check_shape(style, 2, rotary + rotary % 3, rotary, rotary % 5);
    for (const int32_t head_dim : {64, 80, 96, 128, 256})
      check_shape(style, 4, head_dim, head_dim, 0);
    check_shape(style, 3, 128, 32, 1);
  }
}

TEST_CASE("rope: a row's bits do not depend on the batch or the threads") {
  constexpr int64_t kRows = 40;
  constexpr int32_t kHeads = 6;
  constexpr int32_t kHeadDim = 96;
  constexpr int64_t kCols = int64_t{kHeads} * kHeadDim;
  std::vector<int32_t> positions(kRows);
  for (size_t i = 0; i < kRows; ++i) positions[i] = static_cast<int32_t>(i * 97);
  const Table table = make_table(positions, kHeadDim);
  const auto x = random_floats(kRows * kCols, 9);
  for (const auto& variant : kVariants()) {
    RopeArgs args{.x_stride = kCols,
                  .num_heads = kHeads,
                  .head_dim = kHeadDim,
                  .rotary_dim = kHeadDim,
                  .style = RopeStyle::kHalves};
    std::vector<float> alone = x;
    for (int64_t r = 0; r < kRows; ++r) {
      args.x = alone.data() + r * kCols;
      args.rows = 1;
      args.table = table.values.data() + r * kHeadDim;
      variant.run({}, args);
    }
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      std::vector<float> together = x;
      args.x = together.data();
      args.rows = kRows;
      args.table = table.values.data();
      variant.run({.pool = &pool}, args);
      CHECK(same_bits(alone.data(), together.data(), kRows * kCols));
    }
  }
}
