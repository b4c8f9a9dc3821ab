#include "kernels/embedding/embed.h"

#include "kernels/quant/dequantize.h"
#include "kernels/quant/quantize_weights.h"
#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::kernels::testing;

TEST_CASE("embed: each row is its token's row of the table, for every type that can be written") {
  constexpr int64_t kVocab = 50;
  constexpr int64_t kCols = 96;
  const auto values = random_floats(kVocab * kCols, 1);
  std::vector<int32_t> tokens(300);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 37 % kVocab);
  tokens.front() = kVocab - 1;
  tokens.back() = 0;

  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0,
                            DType::kQ4_1, DType::kQ5_0, DType::kQ5_1}) {
    const size_t stride = row_bytes(dtype, kCols);
    std::vector<uint8_t> table(stride * kVocab);
    for (int64_t r = 0; r < kVocab; ++r)
      quant::quantize_row(dtype, values.data() + r * kCols,
                          table.data() + static_cast<size_t>(r) * stride, kCols);
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const auto rows = static_cast<int64_t>(tokens.size());
      PoisonedRows out(rows, kCols, kCols, 1);
      embed_ref({.pool = &pool}, {.table = {table.data(), dtype, kVocab, kCols, stride},
                                  .tokens = tokens.data(),
                                  .rows = rows,
                                  .out = out.data()});
      CHECK(out.surroundings_untouched());
      for (int64_t r = 0; r < rows; ++r) {
        float expected[kCols];
        const auto token = static_cast<size_t>(tokens[static_cast<size_t>(r)]);
        quant::dequantize_row(dtype, table.data() + token * stride, expected, kCols);
        REQUIRE(same_bits(out.row(r), expected, kCols));
        if (dtype == DType::kF32)
          REQUIRE(same_bits(out.row(r), values.data() + token * kCols, kCols));
      }
    }
  }
}

TEST_CASE("embed: scaled, and added to what is there") {
  constexpr int64_t kCols = 300;  // more than is dequantized at a time
  const auto values = random_floats(4 * kCols, 1);
  const auto base = random_floats(2 * kCols, 2);
  const std::vector<int32_t> tokens = {3, 1};
  for (const bool accumulate : {false, true}) {
    PoisonedRows out(2, kCols, kCols, 1);
    std::copy(base.begin(), base.end(), out.data());
    embed_ref({}, {.table = {values.data(), DType::kF32, 4, kCols, kCols * sizeof(float)},
                   .tokens = tokens.data(),
                   .rows = 2,
                   .scale = 8.0F,
                   .accumulate = accumulate,
                   .out = out.data()});
    CHECK(out.surroundings_untouched());
    for (size_t r = 0; r < 2; ++r)
      for (size_t i = 0; i < kCols; ++i)
        CHECK(out.row(static_cast<int64_t>(r))[i] ==
              (accumulate ? base[r * kCols + i] : 0.0F) +
                  values[static_cast<size_t>(tokens[r]) * kCols + i] * 8.0F);
  }
}
