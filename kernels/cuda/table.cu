#include "kernels/cuda/simt.h"
//
#include "kernels/cuda/ops.h"

namespace hearth::kernels::HEARTH_SIMT {

const KernelTable& kernel_table() {
  static const KernelTable table = {.name = "cuda",
                                    .half_rounding = HalfRounding::kAsTheWeight,
                                    .embed = embed,
                                    .rms_norm = rms_norm,
                                    .layer_norm = layer_norm,
                                    .quantize = quantize,
                                    .matmul_input = matmul_input,
                                    .matmul = matmul,
                                    .rope_table = rope_table,
                                    .rope = rope,
                                    .kv_store = kv_store,
                                    .attention = attention,
                                    .activate = activate,
                                    .scale = scale,
                                    .add = add,
                                    .route = route,
                                    .gather = gather,
                                    .expert_matmul = expert_matmul,
                                    .combine = combine,
                                    .rms_norm_quantize = rms_norm_quantize,
                                    .activate_quantize = activate_quantize,
                                    .rope_kv_store = rope_kv_store,
                                    .sample = sample};
  return table;
}

}  // namespace hearth::kernels::HEARTH_SIMT
