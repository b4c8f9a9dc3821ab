#pragma once
// What the kernel tests share: a list of the variants that this machine runs, random numbers,
// buffers whose surroundings are watched, and a comparison that prints the worst element.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/kernel_table.h"

namespace hearth::kernels::testing {

template <typename Args>
struct Variant {
  std::string name;
  void (*run)(const ExecContext&, const Args&);
};

/// The tables that this CPU runs, the reference first; says which ones it does not.
inline std::vector<const KernelTable*> tables_here() {
  std::vector<const KernelTable*> list;
  for (const CpuKernels& kernels : cpu_kernels()) {
    if (kernels.runs_here)
      list.insert(list.begin(), kernels.table);
    else
      MESSAGE("this CPU cannot run ", std::string(kernels.table->name), ": it is not tested");
  }
  return list;
}

/// An op of every table that this CPU runs, the reference first, each function once.
template <typename Args>
std::vector<Variant<Args>> variants(void (*KernelTable::*op)(const ExecContext&, const Args&)) {
  std::vector<Variant<Args>> list;
  for (const KernelTable* table : tables_here()) {
    const auto run = table->*op;
    const bool known = std::any_of(list.begin(), list.end(),
                                   [&](const Variant<Args>& other) { return other.run == run; });
    if (!known) list.push_back({std::string(table->name), run});
  }
  return list;
}

/// SplitMix64 (Steele et al. 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  /// Uniform in [-1, 1).
  float unit() { return static_cast<float>(static_cast<double>(next() >> 11) * 0x1p-52 - 1.0); }
  void fill(std::vector<float>& values, float magnitude = 1.0F) {
    for (float& value : values) value = unit() * magnitude;
  }

 private:
  uint64_t state_;
};

inline std::vector<float> random_floats(size_t count, uint64_t seed, float magnitude = 1.0F) {
  std::vector<float> values(count);
  Random(seed).fill(values, magnitude);
  return values;
}

/// `rows` rows of `cols` floats at a stride, `offset` floats off alignment. All of it begins as one
/// NaN pattern; what an op must not touch has to end so too.
class PoisonedRows {
 public:
  PoisonedRows(int64_t rows, int64_t cols, int64_t stride, int64_t offset = 0)
      : rows_(rows), cols_(cols), stride_(stride), begin_(kGuard + offset) {
    storage_.assign(static_cast<size_t>(begin_ + rows * stride + kGuard), poison());
  }
  float* data() { return storage_.data() + begin_; }
  [[nodiscard]] const float* row(int64_t r) const { return storage_.data() + begin_ + r * stride_; }
  /// The floats before, between and after the rows are as they were.
  [[nodiscard]] bool surroundings_untouched() const {
    for (int64_t i = 0; i < static_cast<int64_t>(storage_.size()); ++i) {
      const int64_t at = i - begin_;
      const bool inside = at >= 0 && at < rows_ * stride_ && at % stride_ < cols_;
      const float expected = poison();
      if (!inside &&
          std::memcmp(&storage_[static_cast<size_t>(i)], &expected, sizeof expected) != 0)
        return false;
    }
    return true;
  }

 private:
  static constexpr int64_t kGuard = 64;
  static float poison() {
    const uint32_t bits = 0x7FC0DEADU;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  int64_t rows_;
  int64_t cols_;
  int64_t stride_;
  int64_t begin_;
  std::vector<float> storage_;
};

/// |actual - expected| <= bound(i) for all i; the element that misses by most is printed.
template <typename Bound>
void check_close(const std::string& what, const float* actual, const float* expected, int64_t count,
                 const Bound& bound) {
  int64_t worst = -1;
  double worst_ratio = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(float)) == 0) continue;
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (error <= bound(i)) continue;
    const double ratio =
        std::isnan(error) ? std::numeric_limits<double>::infinity() : error / bound(i);
    if (worst >= 0 && ratio <= worst_ratio) continue;
    worst = i;
    worst_ratio = ratio;
  }
  if (worst < 0) return;
  FAIL_CHECK(what, ": worst at ", worst, " of ", count, ": ", actual[worst], " instead of ",
             expected[worst], ", allowed +- ", bound(worst));
}

/// A bound of `ulps` units in the last place of each expected value, plus `floor`.
inline auto relative_bound(const float* expected, double ulps, double floor = 0.0) {
  return [=](int64_t i) { return ulps * 0x1p-23 * std::abs(double{expected[i]}) + floor; };
}

inline bool same_bits(const float* a, const float* b, int64_t count) {
  return std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

}  // namespace hearth::kernels::testing
