// activate, with or without the form of what it gives that matmuls read, scale and add on the
// device.
#include "kernels/cuda/simt.h"
//
#include "kernels/activation/activate.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/ops.h"
#include "kernels/quant/cuda_half_rows.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

HEARTH_KERNEL float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

HEARTH_KERNEL float activation_of(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kGelu:
      return 0.5F * x * erfcf(-x * 0.70710678118654752440F);
    case Activation::kGeluTanh: {
      const float cubic = fmaf(static_cast<float>(kGeluTanhCubic) * x, x, 1.0F);
      return x * sigmoid(2.0F * static_cast<float>(kSqrtTwoOverPi) * x * cubic);
    }
    case Activation::kClampedSwiglu: {
      const float bounded = fminf(x, kSwigluLimit);
      return bounded * sigmoid(kSwigluAlpha * bounded);
    }
    case Activation::kReluSquared:
      break;
  }
  return x < 0.0F ? 0.0F : x * x;
}

HEARTH_KERNEL float factor_of(Activation activation, float up) {
  if (activation != Activation::kClampedSwiglu) return up;
  return fminf(fmaxf(up, -kSwigluLimit), kSwigluLimit) + 1.0F;
}

HEARTH_KERNEL float activated(const ActivateArgs& args, int64_t row, int64_t i) {
  const float value = activation_of(args.activation, args.gate[row * args.gate_stride + i]);
  if (args.up == nullptr) return value;
  return value * factor_of(args.activation, args.up[row * args.up_stride + i]);
}

struct Activate {
  using Args = ActivateArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    const int64_t row = index / args.cols;
    const int64_t i = index % args.cols;
    args.out[row * args.out_stride + i] = activated(args, row, i);
  }
};

/// A cta for each part of each row.
struct ActivateQuantizeKernel {
  using Args = ActivateQuantizeArgs;
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const ActivateArgs& a = args.activate;
    const int64_t row = simt::cta_index().x / HalfRows::kParts;
    put_half_part<kWarps>([&a, row](int i) { return activated(a, row, i); },
                          [&a, row](int i, float value) {
                            if (a.out != nullptr) a.out[row * a.out_stride + i] = value;
                          },
                          row, static_cast<int>(a.cols), simt::cta_index().x % HalfRows::kParts,
                          reinterpret_cast<uint32_t*>(simt::shared_memory()), args.half);
  }
};

struct Scale {
  using Args = ScaleArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t i) {
    const float value = args.x[i] * args.scale;
    args.x[i] = args.softcap > 0.0F ? args.softcap * tanhf(value / args.softcap) : value;
  }
};

struct Add {
  using Args = AddArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t i) {
    args.out[i] = fmaf(args.x[i], args.scale, args.out[i]);
  }
};

}  // namespace

void activate(const ExecContext& context, const ActivateArgs& args) {
  for_each<Activate>(context, args.rows * args.cols, args);
}

void activate_quantize(const ExecContext& context, const ActivateQuantizeArgs& args) {
  const ActivateArgs& a = args.activate;
  HEARTH_CHECK(a.cols % 32 == 0, "rows are whole blocks of 32");
  if (a.rows == 0) return;
  simt::launch<ActivateQuantizeKernel>(context, {.x = static_cast<int>(a.rows * HalfRows::kParts)},
                                       ActivateQuantizeKernel::kWarps * sizeof(uint32_t), args);
}

void scale(const ExecContext& context, const ScaleArgs& args) {
  for_each<Scale>(context, args.count, args);
}

void add(const ExecContext& context, const AddArgs& args) {
  for_each<Add>(context, args.count, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
