#include "kernels/quant/fit_weights.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/quant/blocks.h"
#include "kernels/quant/dequantize.h"
#include "kernels/quant/legacy_blocks.h"
#include "kernels/quant/legacy_rows.h"
#include "kernels/quant/quantize_weights.h"
#include "kernels/quant/unpack.h"

namespace hearth::quant {
namespace {

constexpr int64_t kCols = 1024;

std::vector<float> normal_row(float scale, uint32_t seed = 7) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> row(kCols);
  for (float& x : row) x = normal(random);
  return row;
}

std::vector<float> read_back(DType dtype, const std::vector<std::byte>& bytes, int64_t cols) {
  std::vector<float> out(static_cast<size_t>(cols));
  dequantize_row(dtype, bytes.data(), out.data(), cols);
  return out;
}

std::vector<float> fit_and_read(DType dtype, const std::vector<float>& row) {
  const auto cols = static_cast<int64_t>(row.size());
  std::vector<std::byte> bytes(row_bytes(dtype, cols));
  fit_row(dtype, row.data(), bytes.data(), cols);
  return read_back(dtype, bytes, cols);
}

/// Root mean square error as a share of the values' root mean square.
double relative_error(const std::vector<float>& row, const std::vector<float>& got) {
  double error = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < row.size(); ++i) {
    error += std::pow(static_cast<double>(row[i]) - static_cast<double>(got[i]), 2);
    size += std::pow(static_cast<double>(row[i]), 2);
  }
  return std::sqrt(error / size);
}

struct Bound {
  DType dtype;
  double error;  // of normal values; the best uniform quantizers of as many levels reach a bit less
};

}  // namespace

TEST_CASE("fit_row: normal values within the error of the type, at any size of the weights") {
  for (const auto& [dtype, bound] :
       {Bound{DType::kQ2_K, 0.30}, Bound{DType::kQ3_K, 0.17}, Bound{DType::kQ4_0, 0.089},
        Bound{DType::kQ4_1, 0.076}, Bound{DType::kQ4_K, 0.078}, Bound{DType::kIQ4_NL, 0.079},
        Bound{DType::kIQ4_XS, 0.081}, Bound{DType::kQ5_0, 0.046}, Bound{DType::kQ5_1, 0.038},
        Bound{DType::kQ5_K, 0.040}, Bound{DType::kQ6_K, 0.020}, Bound{DType::kQ8_0, 0.006},
        Bound{DType::kF16, 0.0004}, Bound{DType::kMXFP4, 0.12}, Bound{DType::kTQ1_0, 0.46},
        Bound{DType::kTQ2_0, 0.46}}) {
    for (const float scale : {0.02F, 1.0F, 30.0F}) {
      CAPTURE(dtype_info(dtype).name);
      CAPTURE(scale);
      const auto row = normal_row(scale);
      CHECK(relative_error(row, fit_and_read(dtype, row)) < bound);
    }
  }
}

TEST_CASE("fit_row: no worse than the quick quantizer of the same type") {
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1}) {
    CAPTURE(dtype_info(dtype).name);
    const auto row = normal_row(0.05F);
    std::vector<std::byte> bytes(row_bytes(dtype, kCols));
    quantize_row(dtype, row.data(), bytes.data(), kCols);
    const double quick = relative_error(row, read_back(dtype, bytes, kCols));
    CHECK(relative_error(row, fit_and_read(dtype, row)) < quick);
  }
}

TEST_CASE("fit_row: zeros, constants, outliers and vanishing values stay finite and near") {
  std::vector<float> outlier(256, 0.001F);
  outlier[77] = -4.0F;
  for (const DType dtype :
       {DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_XS,
        DType::kIQ4_NL, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kMXFP4,
        DType::kTQ1_0, DType::kTQ2_0}) {
    CAPTURE(dtype_info(dtype).name);
    for (const float x : fit_and_read(dtype, std::vector<float>(256, 0.0F))) CHECK(x == 0.0F);
    for (const float value : {0.5F, -0.5F, 1e-30F, -1e-41F, 3e38F, -3e38F})
      for (const float x : fit_and_read(dtype, std::vector<float>(256, value)))
        CHECK(std::isfinite(x));
    for (const float value : {0.5F, -0.5F})
      for (const float x : fit_and_read(dtype, std::vector<float>(256, value)))
        CHECK(x == doctest::Approx(static_cast<double>(value)).epsilon(0.02));
    const auto got = fit_and_read(dtype, outlier);
    CHECK(got[77] == doctest::Approx(-4.0).epsilon(0.1));
  }
}

TEST_CASE("fit_row: values that the type holds exactly come back exactly") {
  std::vector<float> row(256);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i % 16) - 8.0F;
  CHECK(fit_and_read(DType::kQ4_0, row) == row);
  CHECK(fit_and_read(DType::kQ4_1, row) == row);
  CHECK(fit_and_read(DType::kQ5_0, row) == row);
  for (size_t i = 0; i < row.size(); ++i)
    row[i] = std::ldexp(static_cast<float>(mxfp4_value(static_cast<int>(i % 16))), -9);
  CHECK(fit_and_read(DType::kMXFP4, row) == row);
  // A scale and three levels are all that some models are trained with.
  for (size_t i = 0; i < row.size(); ++i)
    row[i] = 0.01239776611328125F * (static_cast<float>(i * i % 7 % 3) - 1.0F);
  CHECK(fit_and_read(DType::kTQ1_0, row) == row);
  CHECK(fit_and_read(DType::kTQ2_0, row) == row);
}

TEST_CASE("can_fit: block types of GGUF, not those with code books or of early 2023") {
  CHECK(can_fit(DType::kQ4_K));
  CHECK(can_fit(DType::kBF16));
  CHECK(can_fit(DType::kMXFP4));
  CHECK(can_fit(DType::kTQ1_0));
  CHECK_FALSE(can_fit(DType::kIQ2_XS));
  CHECK_FALSE(can_fit(DType::kQ4_0F32Pairs));
}

TEST_CASE("write_legacy_row: codes are kept, scales are rounded to 16 bits") {
  std::mt19937 random(3);
  for (const DType dtype : {DType::kQ4_0F32Pairs, DType::kQ4_1F32Pairs, DType::kQ4_0F32,
                            DType::kQ4_1F32, DType::kQ8_0F32}) {
    CAPTURE(dtype_info(dtype).name);
    std::vector<std::byte> in(row_bytes(dtype, 64));
    for (std::byte& byte : in) byte = static_cast<std::byte>(random());
    const size_t stride = row_bytes(dtype, 32);
    const bool has_min = gguf_dtype(dtype) == DType::kQ4_1;
    for (size_t at = 0; at < in.size(); at += stride) {
      const float scale = 0.0123F;
      const float min = -0.3F;
      std::memcpy(in.data() + at, &scale, 4);
      if (has_min) std::memcpy(in.data() + at + 4, &min, 4);
    }
    std::vector<std::byte> out(row_bytes(gguf_dtype(dtype), 64));
    REQUIRE(write_legacy_row(dtype, in.data(), out.data(), 64));
    const auto before = read_back(dtype, in, 64);
    const auto after = read_back(gguf_dtype(dtype), out, 64);
    for (size_t i = 0; i < 64; ++i)
      CHECK(std::fabs(after[i] - before[i]) <=
            (15.0F * 0.0123F + 0.3F + std::fabs(before[i])) / 2048.0F);
    const float too_large = 1e6F;
    std::memcpy(in.data(), &too_large, 4);
    CHECK_FALSE(write_legacy_row(dtype, in.data(), out.data(), 64));
  }
}

}  // namespace hearth::quant
