#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/activation/activate.h"
#include "kernels/cpu/parallel.h"

namespace hearth::kernels {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double activation_of(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kGelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::kGeluTanh:
      return x * sigmoid(2.0 * kSqrtTwoOverPi * x * (1.0 + kGeluTanhCubic * x * x));
    case Activation::kClampedSwiglu: {
      const double bounded = std::min(x, double{kSwigluLimit});
      return bounded * sigmoid(double{kSwigluAlpha} * bounded);
    }
    case Activation::kReluSquared:
      return x < 0.0 ? 0.0 : x * x;
  }
  __builtin_unreachable();
}

double factor_of(Activation activation, double up) {
  if (activation != Activation::kClampedSwiglu) return up;
  return std::clamp(up, -double{kSwigluLimit}, double{kSwigluLimit}) + 1.0;
}

}  // namespace

void activate_ref(const ExecContext& context, const ActivateArgs& args) {
  for_each_slice(context, args.rows, args.cols * kActivationWork, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* gate = args.gate + row * args.gate_stride;
      float* out = args.out + row * args.out_stride;
      for (int64_t i = 0; i < args.cols; ++i) {
        double value = activation_of(args.activation, gate[i]);
        if (args.up != nullptr)
          value *= factor_of(args.activation, args.up[row * args.up_stride + i]);
        out[i] = static_cast<float>(value);
      }
    }
  });
}

}  // namespace hearth::kernels
