#pragma once
// Random weights of every type, quantized inputs, and the variants that this CPU can run.

#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "kernels/matmul/matmul.h"

namespace hearth::kernels::test {

using MatmulFn = void (*)(const ExecContext&, const ActivationView&, const MatmulArgs*, int);
using QuantizeFn = void (*)(const ExecContext&, const QuantizeArgs&);

struct Variant {
  std::string_view name;
  MatmulFn fn;
  QuantizeFn quantize;
  bool fixed_halves;  // multiplies F16 and BF16 in fixed point
};

/// The SIMD variants that this CPU runs, best first.
std::vector<Variant> variants();

inline constexpr DType kAllTypes[] = {
    DType::kF32,          DType::kF16,          DType::kBF16,    DType::kQ4_0,    DType::kQ4_1,
    DType::kQ5_0,         DType::kQ5_1,         DType::kQ8_0,    DType::kQ2_K,    DType::kQ3_K,
    DType::kQ4_K,         DType::kQ5_K,         DType::kQ6_K,    DType::kIQ4_NL,  DType::kIQ4_XS,
    DType::kQ4_0F32Pairs, DType::kQ4_1F32Pairs, DType::kQ4_0F32, DType::kQ4_1F32, DType::kQ8_0F32,
    DType::kMXFP4,        DType::kTQ1_0,        DType::kTQ2_0,   DType::kIQ2_XXS, DType::kIQ2_XS,
    DType::kIQ2_S,        DType::kIQ3_XXS,      DType::kIQ3_S,   DType::kIQ1_S,   DType::kIQ1_M};

float normal(std::mt19937& rng);

/// What outputs hold before they are written.
inline constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

/// [x.rows, weight.rows]
std::vector<float> multiply(MatmulFn fn, const WeightView& weight, const ActivationView& x,
                            ThreadPool* pool = nullptr);

/// The bound of one output: the f32 roundings of a sum of `terms` products whose magnitudes sum up
/// to `magnitude`. The order is free, so each term may pass through all later additions.
double rounding_bound(double magnitude, int64_t terms);

class Input;

/// A weight matrix with room of its own: it ends where its allocation ends.
class Weights {
 public:
  /// Random codes; scales such that values are about `scale` large.
  Weights(DType dtype, int64_t n, int64_t cols, float scale, std::mt19937& rng);
  /// Every byte of codes is `fill`, f16 scales are 1 (also the minimum's).
  Weights(DType dtype, int64_t n, int64_t cols, uint8_t fill);

  /// Sum of |w * x| over a row of weights and a row of the input, minima apart from the codes.
  [[nodiscard]] double magnitude(int64_t o, const Input& x, int64_t r) const;

  /// The most by which F16 and BF16 weights in fixed point may be off.
  [[nodiscard]] double fixed_error(int64_t o, const Input& x, int64_t r) const;

  /// Of float types.
  [[nodiscard]] double value(int64_t o, int64_t k) const;

  std::vector<uint8_t> bytes;
  WeightView view;
};

/// The same weights as F32. What is exact of quantized weights is what their type says.
Weights dequantized(const Weights& w);

/// Rows of activations in both forms.
class Input {
 public:
  Input(int64_t num_rows, int64_t num_cols, float scale, std::mt19937& rng);
  /// All values are `value`, every second one negative.
  Input(int64_t num_rows, int64_t num_cols, float value);

  [[nodiscard]] ActivationView view(int64_t rows) const;
  [[nodiscard]] ActivationView view_of_row(int64_t r) const;
  /// x[r, k] as a matmul of this type sees it.
  [[nodiscard]] double value(DType weight, int64_t r, int64_t k) const;
  /// Changes x[r, k].
  void set(int64_t r, int64_t k, float value);

 private:
  void quantize();

  int64_t rows_;
  int64_t cols_;
  std::vector<float> f32_;
  std::vector<int8_t> q_;
  std::vector<float> scale_;
  std::vector<int16_t> sum16_;
};

}  // namespace hearth::kernels::test
