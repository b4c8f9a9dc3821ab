// f32 activations to int8 on the device: a warp for each block of 32, a lane for each value. Gives
// the bits of kernels/quant/quantize_rows.h: the warp folds its sums by halves, as that header
// says.
#include <cfloat>

#include "kernels/cuda/simt.h"
//
#include "base/check.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/q8_layout.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

struct QuantizeKernel {
  using Args = QuantizeArgs;
  static constexpr int kThreads = 256;
  static constexpr int kBlocksPerCta = kThreads / simt::kWarp;

  static HEARTH_KERNEL void run(const Args& args) {
    const int64_t block =
        static_cast<int64_t>(simt::cta_index().x) * kBlocksPerCta + simt::warp_index();
    if (block >= args.rows * (args.cols / 32)) return;  // the whole warp
    const int lane = simt::lane_index();
    const float x = args.x[block * 32 + lane];
    // Magnitudes are compared as bits, so that a NaN is the largest of all.
    uint32_t bits = float_to_bits(x) & 0x7FFFFFFFU;
    for (int mask = 16; mask > 0; mask /= 2) {
      const uint32_t other = simt::shuffle_xor(bits, mask);
      bits = other > bits ? other : bits;
    }
    const float largest = float_from_bits(bits);
    float scale = largest / 127.0F;
    int code = 0;
    if (bits < 0x7F800000U && scale >= FLT_MIN) {  // the same in all lanes
      scale = largest * choose_codes(x / largest, code);
    } else if (bits < 0x7F800000U) {
      scale = 0.0F;
    }
    int sum = code;
    for (int mask = 8; mask > 0; mask /= 2) sum += simt::shuffle_xor(sum, mask);
    args.out.q[block * 32 + simt::q8_offset(lane)] = static_cast<int8_t>(code);
    if (lane == 0) args.out.scale[block] = scale;
    if (lane % 16 == 0) args.out.sum16[block * 2 + lane / 16] = static_cast<int16_t>(sum);
  }

  /// The best code of y for this lane; gives the slope y.q / q.q of the block.
  static HEARTH_KERNEL float choose_codes(float y, int& best_code) {
    float best_score = -1.0F;
    float slope = 0.0F;
    for (int grid = 0; grid < 4; ++grid) {
      const float rounded = rintf(y * static_cast<float>(127 - grid));
      const auto code = static_cast<int>(rounded);
      int squares = code * code;
      for (int mask = 16; mask > 0; mask /= 2) squares += simt::shuffle_xor(squares, mask);
      const float dot = simt::warp_sum(y * rounded);
      const float candidate = dot / static_cast<float>(squares);
      const float score = dot * candidate;
      if (score > best_score) {
        best_score = score;
        slope = candidate;
        best_code = code;
      }
    }
    return slope;
  }
};

}  // namespace

void quantize(const ExecContext& context, const QuantizeArgs& args) {
  HEARTH_CHECK(args.cols % 32 == 0, "rows are whole blocks of 32");
  const int64_t blocks = args.rows * (args.cols / 32);
  if (blocks == 0) return;
  const int64_t ctas = (blocks + QuantizeKernel::kBlocksPerCta - 1) / QuantizeKernel::kBlocksPerCta;
  simt::launch<QuantizeKernel>(context, {.x = static_cast<int>(ctas)}, 0, args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
