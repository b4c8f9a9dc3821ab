#pragma once
// The kv_store op (kernels/kernel_table.h, KvStoreArgs). All variants write the same bits: f16 is
// rounded to nearest even, q8_0 is quantized as quant::quantize_row does. Values are finite. A null
// ExecContext::pool means the caller's thread alone.

#include "kernels/kernel_table.h"

namespace hearth::kernels {

void kv_store_ref(const ExecContext& context, const KvStoreArgs& args);
/// Converts f16 with F16C; serves AVX-512 too, the op is bound by its stores.
void kv_store_avx2(const ExecContext& context, const KvStoreArgs& args);
void kv_store_neon(const ExecContext& context, const KvStoreArgs& args);

/// Converts `n` f32 values to the cache's type.
using KvConvert = void (*)(DType dtype, const float* src, void* dst, int64_t n);

/// Walks the batch's rows, on the pool, and converts each head's K and V into its place.
void kv_store_with(const ExecContext& context, const KvStoreArgs& args, KvConvert convert);

}  // namespace hearth::kernels
