// Token embeddings on the device: a thread for each 32 values, by the scalar definition of the
// type.
#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/ops.h"
#include "kernels/quant/legacy_blocks.h"
#include "kernels/quant/visit.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

HEARTH_KERNEL void put(const EmbedArgs& args, int64_t at, float value) {
  const float scaled = value * args.scale;
  args.out[at] = args.accumulate ? args.out[at] + scaled : scaled;
}

HEARTH_KERNEL const uint8_t* table_row(const EmbedArgs& args, int64_t row) {
  return static_cast<const uint8_t*>(args.table.data) +
         static_cast<size_t>(args.tokens[row]) * args.table.row_bytes;
}

template <typename Block>
struct EmbedGroup {
  using Args = EmbedArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    constexpr int kGroups = quant::kBlockSize<Block> / 32;
    const int64_t groups = args.table.cols / 32;
    const int64_t row = index / groups;
    const int64_t group = index % groups;
    const auto* blocks = reinterpret_cast<const Block*>(table_row(args, row));
    quant::Group32 unpacked;
    quant::unpack_group(blocks[group / kGroups], static_cast<int>(group % kGroups), unpacked);
    for (int i = 0; i < 32; ++i)
      put(args, row * args.table.cols + group * 32 + i,
          unpacked.scale[i / 16] * static_cast<float>(unpacked.q[i]) - unpacked.min[i / 16]);
  }
};

struct EmbedFloat {
  using Args = EmbedArgs;
  static HEARTH_KERNEL void at(const Args& args, int64_t index) {
    const int64_t i = index % args.table.cols;
    const uint8_t* row = table_row(args, index / args.table.cols);
    float value;
    if (args.table.dtype == DType::kF32) {
      value = value_at<float>(row, i);
    } else if (args.table.dtype == DType::kF16) {
      value = f16_to_f32(value_at<uint16_t>(row, i));
    } else {
      value = bf16_to_f32(value_at<uint16_t>(row, i));
    }
    put(args, index, value);
  }
};

}  // namespace

void embed(const ExecContext& context, const EmbedArgs& args) {
  if (dtype_info(args.table.dtype).block_size == 1) {
    for_each<EmbedFloat>(context, args.rows * args.table.cols, args);
    return;
  }
  quant::visit_block_type(args.table.dtype, [&]<typename Block>() {
    for_each<EmbedGroup<Block>>(context, args.rows * (args.table.cols / 32), args);
  });
}

}  // namespace hearth::kernels::HEARTH_SIMT
