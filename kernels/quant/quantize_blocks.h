#pragma once
// The walk over blocks that every variant of the quantize op shares.

#include "kernels/cpu/parallel.h"
#include "kernels/quant/quantize_rows.h"

namespace hearth::kernels {

/// Calls quantize_block(x, q, scale, sum16) for each block of 32 of the rows, spread over the pool.
/// Pass a lambda: its type is of the file, so that no two variants share an instantiation.
template <typename F>
void quantize_blocks(const ExecContext& context, const QuantizeArgs& args, F quantize_block) {
  check_quantize(args);
  constexpr int64_t kWork = 128;  // element operations of a block
  for_each_slice(context, args.rows * (args.cols / 32), kWork, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b)
      quantize_block(args.x + b * 32, args.out.q + b * 32, args.out.scale[b],
                     args.out.sum16 + b * 2);
  });
}

}  // namespace hearth::kernels
