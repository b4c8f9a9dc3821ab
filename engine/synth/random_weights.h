#pragma once
// Random weights in every tensor type, fast enough to fill a disk.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/synth/gguf_writer.h"
#include "kernels/dtype.h"

namespace hearth {

/// SplitMix64 (Steele, Lea and Flood 2014): small, and good enough for weights.
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, bound), 0 < bound < 2^32. The bias of bound / 2^32 does not matter here.
  uint64_t below(uint64_t bound) { return (next() >> 32) * bound >> 32; }
  /// Near-normal with mean 0 and variance 1: the sum of four 16-bit uniforms of one draw.
  float normal();

 private:
  uint64_t state_;
};

/// Seed of a named thing under a seed.
uint64_t derive_seed(uint64_t seed, std::string_view name);

/// Random weights of one type with mean 0 and standard deviation `std_dev`, all finite. Owns a pool
/// of blocks once a large tensor asks for it; the pool is shared by all tensors.
class RandomWeights : public std::enable_shared_from_this<RandomWeights> {
 public:
  RandomWeights(DType dtype, double std_dev, uint64_t seed)
      : dtype_(dtype), std_dev_(std_dev), seed_(seed) {}

  /// Rows of `cols` elements for a tensor of `num_elements`. Small tensors and
  /// those of short rows get fresh values, large ones runs of blocks from random places of the
  /// pool: copying is what makes files grow at the speed of the disk. A row depends on the tensor's
  /// seed and its index alone.
  RowProducer rows(uint64_t tensor_seed, int64_t cols, int64_t num_elements);

 private:
  void generate(SplitMix64& random, std::span<std::byte> out) const;
  void copy_runs(SplitMix64& random, std::span<std::byte> row) const;

  const DType dtype_;
  const double std_dev_;
  const uint64_t seed_;
  std::vector<std::byte> pool_;
};

}  // namespace hearth
