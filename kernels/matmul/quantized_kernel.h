#pragma once
// The quantized matmul over an instruction set. `Isa` (in the .cpp of each variant, in an unnamed
// namespace, so that no instantiation leaves its translation unit) gives vectors of kLanes 32-bit
// lanes and the byte dot product; all else is here, once.
//
// An output is acc = fma(term(g), x.scale[g], acc) over the groups g of 32 in order, where
// term(g) = scale * dot - min * sum, the dot product and the sum of x being exact integers. Both
// kernels, row_kernel.h for one row and panel_kernel.h for more, compute the very same terms in the
// same order, so that any number of rows gives the same bits.

#include <cstring>

#include "kernels/matmul/panel_load.h"
#include "kernels/tensor_view.h"

namespace hearth::kernels::simd {

/// One job's slice on one thread.
struct QuantizedTask {
  const uint8_t* weight;  // row 0 of the job
  size_t row_bytes;
  const Q8Rows* x;  // the row strides are cols, cols / 32, cols / 16
  int64_t cols;
  const float* bias;  // may be null
  bool accumulate;
  float* out;
  int64_t out_stride;
};

template <typename Block, typename Isa>
inline constexpr int kOffset = (kForm<Block>.wide && Isa::kSignedWide) ? 0 : kForm<Block>.offset;

/// Two int16 that multiply the (first half, second half) sums of a group.
HEARTH_HOST_DEVICE int32_t sum_weights(int first, int second) {
  return static_cast<int32_t>((static_cast<uint32_t>(second) << 16) |
                              (static_cast<uint32_t>(first) & 0xFFFFU));
}

/// scale * dot - min * sum of one group per lane. Every kernel computes terms by this expression.
template <typename Block, typename Isa>
HEARTH_HOST_DEVICE typename Isa::F term(const typename Isa::I* dot, const typename Isa::F* scale,
                                        const typename Isa::F* min, const typename Isa::F* sum) {
  typename Isa::F t = Isa::mul(Isa::to_float(dot[0]), scale[0]);
  if constexpr (kForm<Block>.halves == 2) t = Isa::fmadd(Isa::to_float(dot[1]), scale[1], t);
  if constexpr (kForm<Block>.has_min) {
    t = Isa::fnmadd(min[0], sum[0], t);
    if constexpr (kForm<Block>.halves == 2) t = Isa::fnmadd(min[1], sum[1], t);
  }
  return t;
}

/// From the int16 sums of x, per group and half: what corrects the dot products for the offset of
/// the weights' codes, and the sums as floats for the minima.
template <typename Block, typename Isa>
struct SumTerms {
  typename Isa::I correction[2];
  typename Isa::F sum[2];

  HEARTH_HOST_DEVICE explicit SumTerms(typename Isa::I sums) {
    constexpr bool kSplit = kForm<Block>.halves == 2;
    const auto weighted = [&](int weight, int half) HEARTH_INLINE_LAMBDA {
      const int other = kSplit ? 0 : weight;
      const int32_t pair = half == 0 ? sum_weights(weight, other) : sum_weights(other, weight);
      return Isa::dot16(Isa::zero_int(), sums, Isa::set1(pair));
    };
    for (int h = 0; h < kForm<Block>.halves; ++h) {
      if constexpr (kOffset<Block, Isa> != 0) correction[h] = weighted(-kOffset<Block, Isa>, h);
      if constexpr (kForm<Block>.has_min) sum[h] = Isa::to_float(weighted(1, h));
    }
  }
};

/// Calls f<count>() for a count from 1 to kMost.
template <int kMost, typename F>
HEARTH_HOST_DEVICE void dispatch_rows(int count, const F& f) {
  if constexpr (kMost > 1) {
    if (count < kMost) return dispatch_rows<kMost - 1>(count, f);
  }
  f.template operator()<kMost>();
}

/// out[lane] = acc + bias + what was there, for lanes [first, end) of outputs from `o` of row r.
template <typename Isa>
HEARTH_HOST_DEVICE void finish(const QuantizedTask& task, typename Isa::F acc, int64_t r, int64_t o,
                               int first, int end) {
  float* out = task.out + r * task.out_stride + o;
  if (first == 0 && end == Isa::kLanes) {
    if (task.bias != nullptr) acc = Isa::add(acc, Isa::load(task.bias + o));
    if (task.accumulate) acc = Isa::add(acc, Isa::load(out));
    Isa::store(out, acc);
    return;
  }
  alignas(64) float lanes[Isa::kLanes];
  Isa::store(lanes, acc);
  for (int i = first; i < end; ++i) {
    if (task.bias != nullptr) lanes[i] = lanes[i] + task.bias[o + i];
    if (task.accumulate) lanes[i] = lanes[i] + out[i];
    out[i] = lanes[i];
  }
}

}  // namespace hearth::kernels::simd
