#pragma once
// The activate op (kernels/kernel_table.h, ActivateArgs). No finite input of the activation gives
// NaN. A null ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void activate_ref(const ExecContext& context, const ActivateArgs& args);
void activate_avx2(const ExecContext& context, const ActivateArgs& args);
void activate_avx512(const ExecContext& context, const ActivateArgs& args);
void activate_neon(const ExecContext& context, const ActivateArgs& args);

/// An e^x costs about as much as this many simple element operations.
inline constexpr int64_t kActivationWork = 8;

// Of Activation::kClampedSwiglu, as gpt-oss was published (OpenAI 2025).
inline constexpr float kSwigluLimit = 7.0F;
inline constexpr float kSwigluAlpha = 1.702F;

// Of Activation::kGeluTanh: tanh(sqrt(2 / pi) (x + 0.044715 x^3)).
inline constexpr double kGeluTanhCubic = 0.044715;
inline constexpr double kSqrtTwoOverPi = 0.79788456080286535588;

}  // namespace hearth::kernels
