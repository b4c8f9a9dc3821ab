// Which attention kernel of the tensor cores a step's rows take.
#include "kernels/cuda/simt.h"
//
#include "kernels/attention/tensor_decode.h"
#include "kernels/attention/tensor_prefill.h"

namespace hearth::kernels::HEARTH_SIMT {
namespace {

/// Ctas for each multiprocessor up to which spans are shared out: twice as many as it runs at a
/// time, so that a last, half filled round of them costs little.
constexpr int64_t kFewDecodeCtas = 4;
/// The same for many rows, whose merging of spans costs more.
constexpr int64_t kFewPrefillCtas = 1;

/// The two kernels of a type of cache and size of head. Heads of 256 dimensions take more shared
/// memory for a warp, and more registers than one has.
template <typename Tile>
struct Kernels {
  static constexpr bool kLong = Tile::kGroups > 4;
  using Decode = DecodeKernel<Tile, kLong ? 2 : 4>;
  using Prefill = PrefillKernel<Tile, kLong ? 2 : 4, kLong ? 2 : 1>;
};

/// Runs `use` with the tile of the cache's type and size of head; false where there is none.
template <typename Use>
bool with_tile(const KvLayerView& kv, const Use& use) {
  const auto of_type = [&]<template <int> typename Tile>() {
    switch (kv.head_dim) {
      case 32:
        return use.template operator()<Tile<1>>();
      case 64:
        return use.template operator()<Tile<2>>();
      case 96:
        return use.template operator()<Tile<3>>();
      case 128:
        return use.template operator()<Tile<4>>();
      case 256:
        return use.template operator()<Tile<8>>();
      default:
        return false;
    }
  };
  if (kv.dtype == DType::kF16) return of_type.template operator()<F16Tile>();
  if (kv.dtype == DType::kQ8_0) return of_type.template operator()<Q8Tile>();
  return false;
}

/// Whether pieces of tiles can be copied 16 bytes at a time.
bool suits_copies(const KvLayerView& kv, const KvStrides& strides) {
  return kv.page_tokens % kPieceTokens == 0 && kv.page_bytes % 16 == 0 &&
         strides.head_bytes % 16 == 0 && strides.v_offset % 16 == 0 &&
         reinterpret_cast<uintptr_t>(kv.base) % 16 == 0;
}

/// Rows before the first sequence that has several.
int32_t single_rows(const simt::StepTables& step) {
  int32_t rows = 0;
  while (rows < step.num_sequences && step.sequences[rows].row_count == 1) ++rows;
  return rows;
}

template <typename Tile>
void launch_decode(const ExecContext& context, AttendArgs args) {
  using Kernel = typename Kernels<Tile>::Decode;
  const simt::OpContext& op = simt::op_context(context);
  const AttentionArgs& a = args.attention;
  const int64_t ctas = int64_t{args.rows} * Kernel::ctas_of_row(a);
  args.partial = partial_for(op, args, ctas, kFewDecodeCtas * op.multiprocessors);
  simt::launch<Kernel>(context,
                       {.x = static_cast<int>(ctas), .y = args.partial == nullptr ? 1 : args.spans},
                       Kernel::shared_bytes(a.num_heads / a.kv.num_kv_heads), args);
  if (args.partial != nullptr) merge_spans(context, args);
}

template <typename Tile>
void launch_prefill(const ExecContext& context, AttendArgs args) {
  using Kernel = typename Kernels<Tile>::Prefill;
  const simt::OpContext& op = simt::op_context(context);
  const AttentionArgs& a = args.attention;
  const int64_t rows = int64_t{args.rows} * (a.num_heads / a.kv.num_kv_heads);
  const auto ctas = static_cast<int>((rows + Kernel::kCtaRows - 1) / Kernel::kCtaRows);
  args.partial = partial_for(op, args, int64_t{ctas} * a.kv.num_kv_heads,
                             kFewPrefillCtas * op.multiprocessors);
  const int stages = Kernel::shared_bytes(2) <= op.shared_bytes_per_cta ? 2 : 1;
  simt::launch<Kernel>(
      context, {.x = ctas, .y = a.kv.num_kv_heads, .z = args.partial == nullptr ? 1 : args.spans},
      Kernel::shared_bytes(stages), {args, stages});
  if (args.partial != nullptr) merge_spans(context, args);
}

}  // namespace

bool tensor_attention(const ExecContext& context, const AttendArgs& args) {
  const simt::OpContext& op = simt::op_context(context);
  const KvLayerView& kv = args.attention.kv;
  if (!suits_copies(kv, args.strides)) return false;
  return with_tile(kv, [&]<typename Tile>() {
    if (Tile::kBf16 && op.capability < 80) return false;
    const int group = args.attention.num_heads / kv.num_kv_heads;
    if (Kernels<Tile>::Decode::shared_bytes(group) > op.shared_bytes_per_cta ||
        Kernels<Tile>::Prefill::shared_bytes(1) > op.shared_bytes_per_cta)
      return false;
    AttendArgs part = args;
    part.rows = single_rows(args.step);
    if (part.rows > 0) launch_decode<Tile>(context, part);
    part.first_row = part.rows;
    part.rows = args.rows - part.first_row;
    if (part.rows > 0) launch_prefill<Tile>(context, part);
    return true;
  });
}

}  // namespace hearth::kernels::HEARTH_SIMT
