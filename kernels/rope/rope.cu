// Rotary angles and rotations on the device.
#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/ops.h"
#include "kernels/rope/cuda_rope.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

struct Angle {
  using Args = RopeTableArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t i) {
    const int half = args.rotary_dim / 2;
    const double angle = args.positions[i / half] * args.inverse_frequency[i % half];
    args.table[2 * i] = static_cast<float>(cos(angle) * args.magnitude);
    args.table[2 * i + 1] = static_cast<float>(sin(angle) * args.magnitude);
  }
};

/// One pair of one head.
struct Rotate {
  using Args = RopeArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    const int half = args.rotary_dim / 2;
    const int64_t head_row = index / half;
    const int64_t row = head_row / args.num_heads;
    rotate_pair(args, row, static_cast<int>(index % half),
                args.x + row * args.x_stride + head_row % args.num_heads * args.head_dim);
  }
};

}  // namespace

void rope_table(const ExecContext& context, const RopeTableArgs& args) {
  HEARTH_CHECK(args.rotary_dim % 2 == 0, "rotary dimensions come in pairs");
  for_each<Angle>(context, args.rows * (args.rotary_dim / 2), args);
}

void rope(const ExecContext& context, const RopeArgs& args) {
  HEARTH_CHECK(args.rotary_dim % 2 == 0 && args.rotary_dim <= args.head_dim,
               "rotary dimensions come in pairs and lie inside the head");
  for_each<Rotate>(context, args.rows * args.num_heads * (args.rotary_dim / 2), args);
}

}  // namespace hearth::kernels::HEARTH_SIMT
