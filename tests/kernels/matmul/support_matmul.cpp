#include "tests/kernels/matmul/support_matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/quant/dequantize.h"
#include "kernels/quant/half.h"
#include "kernels/quant/quantize_rows.h"
#include "kernels/quant/unpack.h"
#include "kernels/quant/visit.h"

namespace hearth::kernels::test {
namespace {

// Integer scales of K types make a block's largest value about this multiple of d.
float relative_size(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kQ8_0F32:
    case DType::kIQ4_NL:
      return 127.0F;
    case DType::kQ4_K:
    case DType::kQ2_K:
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
      return 500.0F;
    case DType::kQ3_K:
    case DType::kIQ1_S:
    case DType::kIQ1_M:
      return 100.0F;
    case DType::kQ5_K:
    case DType::kIQ4_XS:
      return 2000.0F;
    case DType::kQ6_K:
      return 4000.0F;
    default:
      return 16.0F;
  }
}

void set_scale(uint16_t& field, float value) { field = f32_to_f16(value); }
void set_scale(uint8_t (&field)[4], float value) { std::memcpy(field, &value, sizeof(value)); }

/// The power of two next below, as far as it has an exponent; half of it, as the values are
/// doubled.
void set_scale(uint8_t& field, float value) {
  int exponent;
  std::frexp(value, &exponent);
  field = static_cast<uint8_t>(std::clamp(exponent + 127, 0, 255));
}

void set_block_scales(quant::BlockIQ1_M& block, float d, float /*min*/) {
  const uint16_t bits = f32_to_f16(d);
  for (int i = 0; i < 4; ++i) {
    uint8_t& high = block.scales[2 * i + 1];
    high = static_cast<uint8_t>((high & 15) | ((bits >> (4 * i) & 15) << 4));
  }
}

void set_block_scales(auto& block, float d, float min) {
  set_scale(block.d, d);
  if constexpr (requires { block.m; }) set_scale(block.m, min);
  if constexpr (requires { block.dmin; }) set_scale(block.dmin, min);
}

}  // namespace

float normal(std::mt19937& rng) { return std::normal_distribution<float>(0.0F, 1.0F)(rng); }

std::vector<float> multiply(MatmulFn fn, const WeightView& weight, const ActivationView& x,
                            ThreadPool* pool) {
  std::vector<float> out(static_cast<size_t>(x.rows * weight.rows), kPoison);
  MatmulArgs job;
  job.weight = weight;
  job.out = out.data();
  job.out_stride = weight.rows;
  fn(ExecContext{pool, nullptr}, x, &job, 1);
  return out;
}

double rounding_bound(double magnitude, int64_t terms) {
  return magnitude * static_cast<double>(terms + 8) * 0x1p-24 + 1e-37;
}

std::vector<Variant> variants() {
  std::vector<Variant> found;
  for (const auto& [table, runs_here] : cpu_kernels())
    if (runs_here && table->matmul != matmul_ref)
      found.push_back({table->name, table->matmul, table->quantize,
                       table->half_rounding != HalfRounding::kNone});
  return found;
}

Weights::Weights(DType dtype, int64_t n, int64_t cols, float scale, std::mt19937& rng) {
  const size_t stride = row_bytes(dtype, cols);
  bytes.resize(static_cast<size_t>(n) * stride);
  view = {bytes.data(), dtype, n, cols, stride};
  if (matmul_input(dtype) == MatmulInput::kQ8) {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng());
    quant::visit_block_type(dtype, [&]<typename Block>() {
      auto* blocks = reinterpret_cast<Block*>(bytes.data());
      for (size_t i = 0; i < bytes.size() / sizeof(Block); ++i)
        set_block_scales(blocks[i], normal(rng) * scale / relative_size(dtype),
                         normal(rng) * scale / 16);
    });
    return;
  }
  for (int64_t i = 0; i < n * cols; ++i) {
    const float value = normal(rng) * scale;
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + i * 4, &value, 4);
    } else {
      const uint16_t half = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      std::memcpy(bytes.data() + i * 2, &half, 2);
    }
  }
}

Weights::Weights(DType dtype, int64_t n, int64_t cols, uint8_t fill) {
  const size_t stride = row_bytes(dtype, cols);
  bytes.assign(static_cast<size_t>(n) * stride, fill);
  view = {bytes.data(), dtype, n, cols, stride};
  if (matmul_input(dtype) == MatmulInput::kQ8) {
    quant::visit_block_type(dtype, [&]<typename Block>() {
      auto* blocks = reinterpret_cast<Block*>(bytes.data());
      for (size_t i = 0; i < bytes.size() / sizeof(Block); ++i)
        set_block_scales(blocks[i], 1.0F, 1.0F);
    });
  } else {
    // Bytes of all ones are NaN in the float types: take the largest f16 with the sign of `fill`.
    const float value = (fill & 0x80) != 0 ? -65504.0F : 65504.0F;
    for (int64_t i = 0; i < n * cols; ++i) {
      const uint16_t half = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
      if (dtype == DType::kF32) {
        std::memcpy(bytes.data() + i * 4, &value, 4);
      } else {
        std::memcpy(bytes.data() + i * 2, &half, 2);
      }
    }
  }
}

double Weights::value(int64_t o, int64_t k) const {
  const uint8_t* row = bytes.data() + static_cast<size_t>(o) * view.row_bytes;
  if (view.dtype == DType::kF32) return value_at<float>(row, k);
  const auto half = value_at<uint16_t>(row, k);
  return view.dtype == DType::kF16 ? f16_to_f32(half) : bf16_to_f32(half);
}

double Weights::magnitude(int64_t o, const Input& x, int64_t r) const {
  double sum = 0.0;
  if (matmul_input(view.dtype) == MatmulInput::kF32) {
    for (int64_t k = 0; k < view.cols; ++k)
      sum += std::fabs(value(o, k) * x.value(view.dtype, r, k));
    return sum;
  }
  const uint8_t* row = bytes.data() + static_cast<size_t>(o) * view.row_bytes;
  quant::visit_block_type(view.dtype, [&]<typename Block>() {
    const auto* blocks = reinterpret_cast<const Block*>(row);
    constexpr int kGroups = quant::kBlockSize<Block> / 32;
    for (int64_t g = 0; g < view.cols / 32; ++g) {
      quant::Group32 group;
      quant::unpack_group(blocks[g / kGroups], static_cast<int>(g % kGroups), group);
      for (int i = 0; i < 32; ++i) {
        const double w = std::fabs(static_cast<double>(group.scale[i / 16]) * group.q[i]) +
                         std::fabs(static_cast<double>(group.min[i / 16]));
        sum += w * std::fabs(x.value(view.dtype, r, g * 32 + i));
      }
    }
  });
  return sum;
}

double Weights::fixed_error(int64_t o, const Input& x, int64_t r) const {
  constexpr int64_t kBlock = 1024;
  double error = 0.0;
  for (int64_t begin = 0; begin < view.cols; begin += kBlock) {
    double largest_w = 0.0;
    double largest_x = 0.0;
    double sum_w = 0.0;
    double sum_x = 0.0;
    for (int64_t k = begin; k < std::min(begin + kBlock, view.cols); ++k) {
      const double w = std::fabs(value(o, k));
      const double v = std::fabs(x.value(view.dtype, r, k));
      largest_w = std::max(largest_w, w);
      largest_x = std::max(largest_x, v);
      sum_w += w;
      sum_x += v;
    }
    // Half a unit of each, of which 5792 are the largest; next to nothing may vanish.
    error += (largest_w / 11584 + 0x1p-113) * sum_x + largest_x / 11584 * (sum_w + largest_w);
  }
  return error;
}

Input::Input(int64_t num_rows, int64_t num_cols, float scale, std::mt19937& rng)
    : rows_(num_rows), cols_(num_cols), f32_(static_cast<size_t>(num_rows * num_cols)) {
  for (float& value : f32_) value = normal(rng) * scale;
  quantize();
}

Input::Input(int64_t num_rows, int64_t num_cols, float value)
    : rows_(num_rows), cols_(num_cols), f32_(static_cast<size_t>(num_rows * num_cols), value) {
  for (size_t i = 1; i < f32_.size(); i += 2) f32_[i] = (i / 32) % 2 == 0 ? value : -value;
  quantize();
}

void Input::quantize() {
  if (cols_ % 32 != 0) return;  // read by float weights alone
  q_.resize(f32_.size());
  scale_.resize(f32_.size() / 32);
  sum16_.resize(f32_.size() / 16);
  quantize_ref(ExecContext{},
               QuantizeArgs{f32_.data(), rows_, cols_, {q_.data(), scale_.data(), sum16_.data()}});
}

ActivationView Input::view(int64_t rows) const {
  auto* self = const_cast<Input*>(this);  // Q8Rows serves outputs too; the matmul only reads
  return {f32_.data(), {self->q_.data(), self->scale_.data(), self->sum16_.data()}, rows, cols_};
}

Weights dequantized(const Weights& w) {
  std::mt19937 unused;
  Weights out(DType::kF32, w.view.rows, w.view.cols, 0.0F, unused);
  for (int64_t o = 0; o < w.view.rows; ++o)
    quant::dequantize_row(w.view.dtype, w.bytes.data() + static_cast<size_t>(o) * w.view.row_bytes,
                          reinterpret_cast<float*>(out.bytes.data()) + o * w.view.cols,
                          w.view.cols);
  return out;
}

ActivationView Input::view_of_row(int64_t r) const {
  ActivationView row = view(1);
  row.f32 += r * cols_;
  if (q_.empty()) return row;
  row.q8.q += r * cols_;
  row.q8.scale += r * (cols_ / 32);
  row.q8.sum16 += r * (cols_ / 16);
  return row;
}

double Input::value(DType weight, int64_t r, int64_t k) const {
  const auto at = static_cast<size_t>(r * cols_ + k);
  if (matmul_input(weight) == MatmulInput::kF32) return f32_[at];
  return static_cast<double>(scale_[at / 32]) * q_[at];
}

void Input::set(int64_t r, int64_t k, float value) {
  f32_[static_cast<size_t>(r * cols_ + k)] = value;
  quantize();
}

}  // namespace hearth::kernels::test
