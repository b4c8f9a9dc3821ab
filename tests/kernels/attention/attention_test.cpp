#include "kernels/attention/attention.h"

#include "kernels/quant/dequantize.h"
#include "tests/kernels/attention/support_attention.h"

using namespace hearth;
using namespace hearth::kernels;
using namespace hearth::kernels::testing;

namespace {

const auto kVariants = [] { return variants(&KernelTable::attention); };

std::string describe(const AttentionShape& shape) {
  return std::string(dtype_info(shape.dtype).name) + ", head_dim " +
         std::to_string(shape.head_dim) + ", group " + std::to_string(shape.group) + ", pages of " +
         std::to_string(shape.page_tokens) + ", window " + std::to_string(shape.window);
}

// Scores are at most sqrt(head_dim) |q| |k| = 2 sqrt(head_dim) here, in f32 sums of head_dim / 8
// terms per chain; their absolute error is the relative one of the weights. Weights and values are
// then averaged (|v| <= 1) over `tokens`.
double bound_of(const AttentionShape& shape, int32_t tokens) {
  const double score = 2.0 * std::sqrt(static_cast<double>(shape.head_dim));
  const double score_error = score * (shape.head_dim / 8.0 + 8.0);
  return 0x1p-24 * (2.0 * score_error + 8.0 + 4.0 * std::sqrt(static_cast<double>(tokens)));
}

// AVX-512 computes f16 and q8_0 in whole numbers of 13 bits: a V (|v| <= 1) is off by up to 2^-14,
// a tile's weights by 2^-14 of its largest, and q by 2^-19 of its sum, which grows with the head.
double bound_of(const std::string& variant, const AttentionShape& shape, int32_t tokens) {
  if (variant != "avx512" || shape.dtype == DType::kF32) return bound_of(shape, tokens);
  return 0x1p-13 * (3.0 + shape.head_dim / 64.0);
}

void check_against_reference(const AttentionShape& shape, int32_t length, int32_t chunk) {
  AttentionWorld world(shape, {length});
  std::vector<std::vector<float>> expected;
  for (const auto& variant : kVariants()) {
    const auto out = world.run_alone(variant, chunk);
    if (variant.name == "ref") expected = out;
    check_close(variant.name + ", " + describe(shape), out[0].data(), expected[0].data(),
                static_cast<int64_t>(out[0].size()),
                [&](int64_t) { return bound_of(variant.name, shape, length); });
  }
}

}  // namespace

TEST_CASE("attention_ref: equals softmax(q k^T) v written out in full") {
  constexpr int32_t kLength = 11;
  const AttentionShape plain{.dtype = DType::kF32, .head_dim = 8, .page_tokens = 3};
  std::vector<AttentionShape> shapes(5, plain);
  shapes[0].window = 5;
  shapes[1].chunk = 4;
  shapes[2].softcap = 0.5F;
  shapes[3].sinks = true;
  shapes[4] = {.dtype = DType::kF32,
               .head_dim = 8,
               .page_tokens = 3,
               .window = 3,
               .chunk = 7,
               .softcap = 2.0F,
               .sinks = true};
  for (const AttentionShape& shape : shapes) {
    AttentionWorld world(shape, {kLength});
    const auto out = world.run_alone(kVariants()[0], kLength);
    const auto at = [&](const std::vector<float>& values, int64_t cols, int32_t row, int32_t head) {
      return values.data() + row * cols + int64_t{head} * shape.head_dim;
    };
    for (int32_t row = 0; row < kLength; ++row)
      for (int32_t head = 0; head < shape.num_heads(); ++head) {
        std::vector<double> weights(kLength, 0.0);
        double total =
            shape.sinks ? std::exp(double{world.sinks()[static_cast<size_t>(head)]}) : 0.0;
        for (int32_t t = 0; t <= row; ++t) {
          if (shape.window > 0 && row - t >= shape.window) continue;
          if (shape.chunk > 0 && row / shape.chunk != t / shape.chunk) continue;
          double score = 0.0;
          for (int i = 0; i < shape.head_dim; ++i)
            score += double{at(world.q(0), shape.q_cols(), row, head)[i]} *
                     at(world.k(0), shape.kv_cols(), t, head / shape.group)[i];
          score *= double{world.scale()};
          if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
          total += weights[static_cast<size_t>(t)] = std::exp(score);
        }
        for (int i = 0; i < shape.head_dim; ++i) {
          double value = 0.0;
          for (int32_t t = 0; t <= row; ++t)
            value += weights[static_cast<size_t>(t)] / total *
                     double{at(world.v(0), shape.kv_cols(), t, head / shape.group)[i]};
          REQUIRE(at(out[0], shape.q_cols(), row, head)[i] == doctest::Approx(value).epsilon(1e-6));
        }
      }
  }
}

TEST_CASE("attention: variants agree with the reference for every kind of head and cache") {
  for (const DType dtype : {DType::kF16, DType::kF32, DType::kQ8_0})
    for (const int32_t head_dim : {8, 16, 20, 32, 33, 40, 64, 80, 96, 112, 128, 192, 256}) {
      if (dtype == DType::kQ8_0 && head_dim % 32 != 0) continue;
      for (const int32_t group : {1, 3, 4})
        check_against_reference(
            {.dtype = dtype, .head_dim = head_dim, .group = group, .page_tokens = 16}, 45, 45);
    }
}

TEST_CASE("attention: groups, page sizes and windows") {
  for (const int32_t group : {1, 2, 5, 7, 8, 16, 17, 40})
    check_against_reference({.head_dim = 64, .num_kv_heads = 1, .group = group}, 40, 21);
  for (const int32_t page_tokens : {1, 5, 16, 32, 48, 64, 128})
    for (const int32_t window : {0, 1, 7, 33, 1000})
      check_against_reference(
          {.head_dim = 32, .group = 1, .page_tokens = page_tokens, .window = window}, 150, 50);
}

TEST_CASE("attention: soft caps, sinks and chunks") {
  for (const float softcap : {0.0F, 0.3F, 50.0F})
    for (const bool sinks : {false, true})
      for (const int32_t chunk : {0, 1, 10, 32, 45})
        check_against_reference({.dtype = DType::kF32,
                                 .head_dim = 40,
                                 .group = 3,
                                 .page_tokens = 32,
                                 .window = chunk == 45 ? 13 : 0,
                                 .chunk = chunk,
                                 .softcap = softcap,
                                 .sinks = sinks},
                                100, 33);
}

TEST_CASE("attention: a sink above all scores takes the weight, one far below none") {
  for (const auto& variant : kVariants()) {
    const AttentionShape shape{.dtype = DType::kF32, .head_dim = 16, .sinks = true};
    AttentionWorld world(shape, {40});
    std::fill(world.sinks().begin(), world.sinks().end(), 200.0F);
    const auto out = world.run_alone(variant, 40);
    for (const float value : out[0]) CHECK(std::abs(value) < 1e-30F);
    std::fill(world.sinks().begin(), world.sinks().end(), -200.0F);
    AttentionShape without = shape;
    without.sinks = false;
    CHECK((world.run_alone(variant, 40) == AttentionWorld(without, {40}).run_alone(variant, 40)));
  }
}

TEST_CASE("attention: decode far into a sequence") {
  check_against_reference({.head_dim = 128, .num_kv_heads = 1, .group = 4, .page_tokens = 32}, 1100,
                          550);
}

TEST_CASE("attention: a head wider than the tiles is the reference's") {
  AttentionWorld world({.head_dim = 264, .num_kv_heads = 1}, {5});
  const auto expected = world.run_alone(kVariants()[0], 5);
  for (const auto& variant : kVariants()) CHECK(world.run_alone(variant, 5) == expected);
}

TEST_CASE("attention: the bits do not depend on chunks, threads or the rows beside") {
  for (const AttentionShape shape :
       {AttentionShape{.head_dim = 64, .group = 4}, AttentionShape{.head_dim = 40, .group = 1},
        AttentionShape{.dtype = DType::kQ8_0, .head_dim = 96, .group = 3, .page_tokens = 48},
        AttentionShape{.dtype = DType::kF32, .head_dim = 16, .group = 7, .window = 19},
        AttentionShape{.head_dim = 48, .group = 3, .window = 9, .softcap = 1.5F, .sinks = true},
        AttentionShape{.head_dim = 32, .group = 5, .chunk = 21, .sinks = true},
        AttentionShape{.head_dim = 80, .num_kv_heads = 1, .group = 20, .page_tokens = 5}}) {
    const std::vector<int32_t> lengths = {67, 1, 40};
    AttentionWorld world(shape, lengths);
    for (const auto& variant : kVariants()) {
      const auto alone = world.run_alone(variant, 1000);
      for (const int32_t chunk : {1, 3, 7, 32}) {
        INFO(variant.name, ", ", describe(shape), ", chunks of ", chunk);
        CHECK((world.run_alone(variant, chunk) == alone));
        for (const int threads : {1, 2, 3}) {
          ThreadPool pool(threads);
          world.clear();
          std::vector<std::vector<float>> out;
          for (int32_t begin = 0; begin < 67; begin += chunk) {  // all sequences in each step
            std::vector<Chunk> chunks;
            for (int32_t s = 2; s >= 0; --s) {
              const int32_t left = lengths[static_cast<size_t>(s)] - begin;
              if (left > 0) chunks.push_back({s, begin, std::min(chunk, left)});
            }
            world.step(variant, &pool, chunks, out);
          }
          CHECK((out == alone));
        }
      }
    }
  }
}

TEST_CASE("attention: a row sees nothing after it, not even NaN or infinity") {
  for (const AttentionShape shape :
       {AttentionShape{.dtype = DType::kF32, .head_dim = 32, .group = 1},
        AttentionShape{.dtype = DType::kF32, .head_dim = 32, .group = 1, .window = 6},
        AttentionShape{.head_dim = 40, .group = 3, .page_tokens = 32},
        AttentionShape{.head_dim = 32, .group = 8, .window = 6}}) {
    const int32_t window = shape.window;
    constexpr int32_t kLength = 50;
    for (const auto& variant : kVariants()) {
      AttentionWorld world(shape, {kLength});
      const auto expected = world.run_alone(variant, kLength);
      INFO(variant.name, ", ", describe(shape));
      const int64_t kv_cols = shape.kv_cols();
      for (int64_t i = 20 * kv_cols; i < 21 * kv_cols; ++i) {
        world.k(0)[static_cast<size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
        world.v(0)[static_cast<size_t>(i)] = std::numeric_limits<float>::infinity();
      }
      const auto out = world.run_alone(variant, kLength);
      CHECK(same_bits(out[0].data(), expected[0].data(), 20 * shape.q_cols()));
      CHECK(!std::isfinite(out[0][static_cast<size_t>(20 * shape.q_cols())]));
      // With a window, the rows far enough behind do not see it either.
      const int64_t behind = (20 + window) * shape.q_cols();
      if (window > 0)
        CHECK(same_bits(out[0].data() + behind, expected[0].data() + behind,
                        kLength * shape.q_cols() - behind));
    }
  }
}

TEST_CASE("attention: scores far apart, in either order, stay finite and exact") {
  // One token outweighs all others by more than f32's range of e^x.
  for (const int32_t winner : {0, 17, 49}) {
    const AttentionShape shape{.dtype = DType::kF32, .head_dim = 16, .num_kv_heads = 1, .group = 1};
    AttentionWorld world(shape, {50});
    std::fill(world.q(0).begin(), world.q(0).end(), 100.0F);
    for (size_t i = 0; i < world.k(0).size(); ++i)
      world.k(0)[i] = static_cast<int32_t>(i / 16) == winner ? 50.0F : -50.0F;
    for (const auto& variant : kVariants()) {
      const auto out = world.run_alone(variant, 50);
      for (size_t i = 0; i < 16; ++i)
        CHECK(out[0][49 * 16 + i] == world.v(0)[static_cast<size_t>(winner) * 16 + i]);
      for (const float value : out[0]) REQUIRE(std::isfinite(value));
    }
  }
}

TEST_CASE("attention: an infinite or NaN V is not hidden by the rest of its row") {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    for (const auto& variant : kVariants()) {
      AttentionWorld world({.head_dim = 32, .num_kv_heads = 1, .group = 1}, {40});
      world.v(0)[10 * 32 + 5] = bad;
      const auto out = world.run_alone(variant, 40);
      for (int32_t row = 0; row < 40; ++row)
        REQUIRE(std::isfinite(out[0][static_cast<size_t>(row) * 32 + 5]) == (row < 10));
    }
}

TEST_CASE("attention: small weights keep their digits beside large ones, tile after tile") {
  // The first token's score is 9 above all others: they have a fifth of the weight together.
  for (const DType dtype : {DType::kF16, DType::kQ8_0})
    for (const auto& variant : kVariants()) {
      constexpr int32_t kLength = 2000;
      AttentionWorld world({.dtype = dtype, .head_dim = 32, .num_kv_heads = 1, .group = 1},
                           {kLength});
      std::fill(world.q(0).begin(), world.q(0).end(), 1.0F);
      for (size_t i = 0; i < world.k(0).size(); ++i)
        world.k(0)[i] = (i < 32 ? 9.0F : 0.0F) / std::sqrt(32.0F);
      for (size_t i = 0; i < world.v(0).size(); ++i) world.v(0)[i] = i < 32 ? 0.0F : 1.0F;
      const auto out = world.run_alone(variant, kLength);
      const double others = (kLength - 1) * std::exp(-9.0);
      CHECK(out[0].back() == doctest::Approx(others / (1.0 + others)).epsilon(0.002));
    }
}

TEST_CASE("attention: q, K and V of any size, or all zero") {
  for (const DType dtype : {DType::kF16, DType::kF32, DType::kQ8_0})
    for (const float q : {0.0F, 1e-30F, 1.0F, 1e30F})
      for (const float kv : {0.0F, 1e-6F, 1.0F, 3e4F})
        for (const auto& variant : kVariants()) {
          AttentionWorld world({.dtype = dtype, .head_dim = 64, .num_kv_heads = 1, .group = 5},
                               {70});
          for (float& value : world.q(0)) value *= q;
          for (float& value : world.k(0)) value *= kv;
          for (float& value : world.v(0)) value *= kv;
          INFO(variant.name, ", ", dtype_info(dtype).name, ", q ", q, ", K and V ", kv);
          const auto out = world.run_alone(variant, 70);
          bool bounded = true;
          for (const float value : out[0])
            bounded = bounded && std::abs(value) <= 1.01F * kv + 0x1p-24F;
          CHECK(bounded);
        }
}

TEST_CASE("attention: no sequences, and a sequence without rows") {
  AttentionWorld world({}, {3});
  ThreadPool pool(2);
  for (const auto& variant : kVariants()) {
    std::vector<std::vector<float>> out;
    world.step(variant, &pool, {}, out);
    world.clear();
    world.step(variant, &pool, {{0, 0, 0}, {0, 0, 3}}, out);
    for (const float value : out[0]) CHECK(std::isfinite(value));
  }
}
