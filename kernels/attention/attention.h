#pragma once
// The attention op (kernels/kernel_table.h, AttentionArgs): causal softmax attention over paged K
// and V, with an online softmax (Milakov & Gimelshein 2018) in the order of positions.
//
// A row's output depends on its own q, its position and the K and V up to it alone, bit for bit:
// not on the rows beside it, nor on chunking or threads. Between variants the bits differ.
// Nothing is allocated; each thread uses up to 170 KiB of its stack. A null ExecContext::pool means
// the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

/// The largest head_dim of the reference, and so of the op.
inline constexpr int kMaxHeadDim = 1024;

/// Token by token, in double. head_dim <= kMaxHeadDim.
void attention_ref(const ExecContext& context, const AttentionArgs& args);

/// In tiles of 32 tokens counted from each page's begin, in f32. A head_dim above 256 is handed to
/// the reference.
void attention_avx2(const ExecContext& context, const AttentionArgs& args);
void attention_neon(const ExecContext& context, const AttentionArgs& args);
/// The same over f32; over f16 and q8_0 in whole numbers of 13 bits times the largest of a row
/// (fixed_attention_avx512.h), whose products VNNI adds twice as fast.
void attention_avx512(const ExecContext& context, const AttentionArgs& args);

}  // namespace hearth::kernels
