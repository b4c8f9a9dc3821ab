#include "engine/synth/random_weights.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstring>

#include "kernels/quant/blocks.h"
#include "kernels/quant/dequantize.h"
#include "kernels/quant/half.h"
#include "kernels/quant/quantize_weights.h"
#include "kernels/quant/visit.h"

namespace hearth {
namespace {

// Up to this many elements are made one by one. As the pool's size it is large enough that two
// rows of four runs or more do not meet by chance, and small enough to stay in a cache (1 MiB of
// Q4_0) and to be made in milliseconds.
constexpr int64_t kPoolElements = 1 << 21;
// Longest run copied from the pool, in elements: memcpy is at full speed from here on.
constexpr int64_t kMaxRunElements = 1024;

// With fewer runs to a row, some rows of a large matrix would be equal.
constexpr int64_t kLeastRuns = 4;

constexpr double square(double x) { return x * x; }

/// Mean of i^2 for i uniform in [low, high].
constexpr double mean_square(int low, int high) {
  double sum = 0;
  for (int i = low; i <= high; ++i) sum += square(i);
  return sum / (high - low + 1);
}

/// Variance of i uniform in [0, high].
constexpr double variance(int high) { return mean_square(0, high) - square(high / 2.0); }

void fill_random(SplitMix64& random, std::span<uint8_t> out) {
  for (size_t i = 0; i < out.size(); i += 8) {
    const uint64_t bits = random.next();
    std::memcpy(out.data() + i, &bits, std::min<size_t>(8, out.size() - i));
  }
}

/// The scale of one block: `d` with a quarter of play, so that blocks differ as real ones do.
/// Keeps the mean square at d^2.
double vary(SplitMix64& random, double d) {
  constexpr double kPlay = 0.25;
  const double uniform = static_cast<double>(random.next() >> 11) * 0x1p-53;
  return d * (1 + kPlay * (2 * uniform - 1)) / std::sqrt(1 + square(kPlay) / 3);
}

uint16_t half(double value) { return f32_to_f16(static_cast<float>(value)); }

/// Packs eight 6-bit scales and eight 6-bit minima as Q4_K and Q5_K have them: the first four of
/// each whole in bytes 0-3 and 4-7, of the last four the low half-bytes in bytes 8-11 and the high
/// two bits on top of bytes 0-7.
void pack_scales(const uint8_t (&scale)[8], const uint8_t (&minimum)[8], uint8_t (&out)[12]) {
  for (int i = 0; i < 4; ++i) {
    out[i] = static_cast<uint8_t>(scale[i] | (scale[i + 4] >> 4) << 6);
    out[i + 4] = static_cast<uint8_t>(minimum[i] | (minimum[i + 4] >> 4) << 6);
    out[i + 8] = static_cast<uint8_t>((scale[i + 4] & 15) | (minimum[i + 4] & 15) << 4);
  }
}

/// One group of scales for types with minima: min = scale, so that dmin = d * (mean of q) centres
/// every group.
void centred_scales(SplitMix64& random, uint8_t (&out)[12]) {
  uint8_t scale[8];
  for (uint8_t& s : scale) s = static_cast<uint8_t>(32 + random.below(32));
  pack_scales(scale, scale, out);
}
constexpr double kCentredScaleSquare = mean_square(32, 63);

// Types that no quantizer of ours writes: random integers, and d such that the weights have the
// standard deviation asked for. Mean square of a product of independent factors = product of
// theirs.

void make(SplitMix64& random, double std_dev, quant::BlockQ2_K& block) {
  for (uint8_t& s : block.scales) {
    const auto scale = static_cast<uint8_t>(1 + random.below(15));
    s = static_cast<uint8_t>(scale | scale << 4);
  }
  fill_random(random, block.qs);
  const double d = vary(random, std_dev / std::sqrt(mean_square(1, 15) * variance(3)));
  block.d = half(d);
  block.dmin = half(d * 1.5);
}

void make(SplitMix64& random, double std_dev, quant::BlockQ3_K& block) {
  fill_random(random, block.hmask);
  fill_random(random, block.qs);
  // Scales 1 … 63 stand for -31 … 31. Packing: see BlockQ3_K.
  std::memset(block.scales, 0, sizeof(block.scales));
  for (int i = 0; i < 16; ++i) {
    const uint64_t scale = 1 + random.below(63);
    block.scales[i % 8] |= static_cast<uint8_t>((scale & 15) << (i < 8 ? 0 : 4));
    block.scales[8 + i % 4] |= static_cast<uint8_t>((scale >> 4) << 2 * (i / 4));
  }
  const double d = std_dev / std::sqrt(mean_square(-31, 31) * mean_square(-4, 3));
  block.d = half(vary(random, d));
}

void make(SplitMix64& random, double std_dev, quant::BlockQ4_K& block) {
  centred_scales(random, block.scales);
  fill_random(random, block.qs);
  const double d = vary(random, std_dev / std::sqrt(kCentredScaleSquare * variance(15)));
  block.d = half(d);
  block.dmin = half(d * 7.5);
}

void make(SplitMix64& random, double std_dev, quant::BlockQ5_K& block) {
  centred_scales(random, block.scales);
  fill_random(random, block.qh);
  fill_random(random, block.qs);
  const double d = vary(random, std_dev / std::sqrt(kCentredScaleSquare * variance(31)));
  block.d = half(d);
  block.dmin = half(d * 15.5);
}

void make(SplitMix64& random, double std_dev, quant::BlockQ6_K& block) {
  fill_random(random, block.ql);
  fill_random(random, block.qh);
  for (int8_t& s : block.scales) {
    const auto scale = static_cast<int8_t>(32 + random.below(96));
    s = random.next() % 2 == 0 ? scale : static_cast<int8_t>(-scale);
  }
  const double d = std_dev / std::sqrt(mean_square(32, 127) * mean_square(-32, 31));
  block.d = half(vary(random, d));
}

// Mean square of the sixteen values of IQ4_NL's code book.
constexpr double kIq4Square = 72768.0 / 16;

void make(SplitMix64& random, double std_dev, quant::BlockIQ4_NL& block) {
  fill_random(random, block.qs);
  // The code book is not centred; signs of d are.
  const double sign = random.next() % 2 == 0 ? 1 : -1;
  block.d = half(vary(random, sign * std_dev / std::sqrt(kIq4Square)));
}

void make(SplitMix64& random, double std_dev, quant::BlockIQ4_XS& block) {
  fill_random(random, block.qs);
  // Scales 1 … 63 stand for -31 … 31: low half-bytes in scales_l, two high bits in scales_h.
  std::memset(block.scales_l, 0, sizeof(block.scales_l));
  uint32_t high = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    const auto scale = static_cast<uint32_t>(1 + random.below(63));
    block.scales_l[i / 2] |= static_cast<uint8_t>((scale & 15) << 4 * (i % 2));
    high |= (scale >> 4) << 2 * i;
  }
  block.scales_h = static_cast<uint16_t>(high);
  block.d = half(vary(random, std_dev / std::sqrt(mean_square(-31, 31) * kIq4Square)));
}

void make(SplitMix64& random, double std_dev, quant::BlockMXFP4& block) {
  fill_random(random, block.qs);
  // A power of two, the next one below or above the scale: as often as keeps the mean square.
  constexpr double kSquare = 2.0 * (0 + 1 + 4 + 9 + 16 + 36 + 64 + 144) / 16;
  const double scale = std_dev / std::sqrt(kSquare);
  int exponent;
  const double share = 2 * std::frexp(scale, &exponent);  // 1 to 2
  const bool above = static_cast<double>(random.below(1 << 20)) * 0x1p-20 < (square(share) - 1) / 3;
  block.d = static_cast<uint8_t>(std::clamp(exponent - 1 + (above ? 1 : 0) + 128, 0, 254));
}

// Types whose codes are digits or indices of a code book: all codes are valid.

template <typename Block>
concept AnyCodes = quant::HasCodeBook<Block> || std::same_as<Block, quant::BlockTQ1_0> ||
    std::same_as<Block, quant::BlockTQ2_0>;

void set_scale(auto& block, double d) { block.d = half(d); }
/// Its half-bytes lie on top of four words of 16 bits.
void set_scale(quant::BlockIQ1_M& block, double d) {
  const uint16_t bits = half(d);
  for (int i = 0; i < 4; ++i) {
    uint8_t& top = block.scales[2 * i + 1];
    top = static_cast<uint8_t>((top & 15) | (bits >> 4 * i & 15) << 4);
  }
}

template <AnyCodes Block>
void make_with_scale(SplitMix64& random, double d, Block& block) {
  fill_random(random, {reinterpret_cast<uint8_t*>(&block), sizeof(block)});
  if constexpr (std::same_as<Block, quant::BlockTQ2_0>)  // 3 is not among -1, 0 and 1
    for (uint8_t& q : block.qs) q = static_cast<uint8_t>(q & ~((q & q >> 1 & 0x55) << 1));
  set_scale(block, d);
}

/// Mean square of such values with a scale of 1, by making some.
template <AnyCodes Block>
double mean_square_of_codes() {
  constexpr int kBlocks = 1024;
  SplitMix64 random(1);
  double sum = 0;
  for (int i = 0; i < kBlocks; ++i) {
    Block block;
    make_with_scale(random, 1.0, block);
    float values[256];
    quant::dequantize_row(Block::kType, &block, values, 256);
    for (const float x : values) sum += square(static_cast<double>(x));
  }
  return sum / (256.0 * kBlocks);
}

template <AnyCodes Block>
void make(SplitMix64& random, double std_dev, Block& block) {
  static const double one = 1 / std::sqrt(mean_square_of_codes<Block>());
  // Not all code books are centred; signs of d are.
  const double sign = random.next() % 2 == 0 ? 1 : -1;
  make_with_scale(random, vary(random, sign * std_dev * one), block);
}

template <typename Block>
void make_blocks(SplitMix64& random, double std_dev, std::span<std::byte> out) {
  for (size_t at = 0; at < out.size(); at += sizeof(Block)) {
    Block block;
    make(random, std_dev, block);
    std::memcpy(out.data() + at, &block, sizeof(block));
  }
}

/// Normal values, written as a type that kernels/quant can quantize to.
void make_quantized(SplitMix64& random, double std_dev, DType dtype, std::span<std::byte> out) {
  const DTypeInfo& info = dtype_info(dtype);
  constexpr size_t kPieceElements = 256;  // a multiple of every such type's block size
  float values[kPieceElements];
  const size_t piece_bytes = kPieceElements / info.block_size * info.block_bytes;
  for (size_t at = 0; at < out.size(); at += piece_bytes) {
    const size_t bytes = std::min(piece_bytes, out.size() - at);
    const size_t count = bytes / info.block_bytes * info.block_size;
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(std_dev) * random.normal();
    quant::quantize_row(dtype, values, out.data() + at, static_cast<int64_t>(count));
  }
}

}  // namespace

float SplitMix64::normal() {
  const uint64_t bits = next();
  const auto sum = static_cast<int64_t>((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) +
                                        (bits >> 32 & 0xFFFF) + (bits >> 48));
  // Four uniforms on 0 … 65535: mean 4 * 32767.5, variance 4 * (65536^2 - 1) / 12.
  constexpr float kInverseStdDev = 1.0F / 37837.227F;
  return static_cast<float>(sum - 131070) * kInverseStdDev;
}

uint64_t derive_seed(uint64_t seed, std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a, 64 bits
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return SplitMix64(seed ^ hash).next();
}

void RandomWeights::generate(SplitMix64& random, std::span<std::byte> out) const {
  if (dtype_info(dtype_).block_size == 1) return make_quantized(random, std_dev_, dtype_, out);
  quant::visit_block_type(dtype_, [&]<typename Block>() {
    if constexpr (requires(Block & block) { make(random, std_dev_, block); })
      make_blocks<Block>(random, std_dev_, out);
    else
      make_quantized(random, std_dev_, dtype_, out);
  });
}

void RandomWeights::copy_runs(SplitMix64& random, std::span<std::byte> row) const {
  const DTypeInfo& info = dtype_info(dtype_);
  const size_t row_blocks = row.size() / info.block_bytes;
  const size_t run_blocks =
      std::clamp<size_t>(row_blocks / kLeastRuns, 1, kMaxRunElements / info.block_size);
  const size_t pool_blocks = pool_.size() / info.block_bytes;
  const size_t run_bytes = run_blocks * info.block_bytes;
  for (size_t at = 0; at < row.size(); at += run_bytes) {
    const size_t from = random.below(pool_blocks - run_blocks + 1) * info.block_bytes;
    std::memcpy(row.data() + at, pool_.data() + from, std::min(run_bytes, row.size() - at));
  }
}

RowProducer RandomWeights::rows(uint64_t tensor_seed, int64_t cols, int64_t num_elements) {
  const bool fresh = num_elements <= kPoolElements ||
                     cols < kLeastRuns * static_cast<int64_t>(dtype_info(dtype_).block_size);
  if (!fresh && pool_.empty()) {
    pool_.resize(row_bytes(dtype_, kPoolElements));
    SplitMix64 random(seed_);
    generate(random, pool_);
  }
  const size_t bytes_per_row = row_bytes(dtype_, cols);
  return [self = shared_from_this(), fresh, tensor_seed, bytes_per_row](int64_t first_row,
                                                                        std::span<std::byte> out) {
    for (size_t at = 0; at < out.size(); at += bytes_per_row, ++first_row) {
      SplitMix64 random(SplitMix64(tensor_seed ^ static_cast<uint64_t>(first_row)).next());
      const std::span<std::byte> row = out.subspan(at, bytes_per_row);
      if (fresh)
        self->generate(random, row);
      else
        self->copy_runs(random, row);
    }
  };
}

}  // namespace hearth
