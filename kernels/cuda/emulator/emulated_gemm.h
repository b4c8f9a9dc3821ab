#pragma once
// The library's place in the emulator: other sums than our kernels make, and no patience with
// arguments that a library would misread.

#include "kernels/cuda/gemm.h"

namespace hearth::kernels {

class EmulatedGemm final : public simt::Gemm {
 public:
  /// From the last product to the first, in f32; kTF32 cuts off what does not count.
  void multiply(const simt::OpContext& op, const simt::GemmArgs& args) override;
};

}  // namespace hearth::kernels
