#include "kernels/cpu/cpu_backend.h"

#include <array>
#include <string>

#include "base/log.h"
#include "kernels/activation/activate.h"
#include "kernels/activation/residual.h"
#include "kernels/attention/attention.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/embedding/embed.h"
#include "kernels/kv_store/kv_store.h"
#include "kernels/matmul/matmul.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/layer_norm.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/quant/quantize_rows.h"
#include "kernels/rope/rope.h"

namespace hearth::kernels {
namespace {

constexpr KernelTable ref_table() {
  return {.name = "ref",
          .embed = embed_ref,
          .rms_norm = rms_norm_ref,
          .layer_norm = layer_norm_ref,
          .quantize = quantize_ref,
          .matmul_input = matmul_input,
          .matmul = matmul_ref,
          .rope_table = rope_table_ref,
          .rope = rope_ref,
          .kv_store = kv_store_ref,
          .attention = attention_ref,
          .activate = activate_ref,
          .scale = scale_ref,
          .add = add_ref,
          .route = route_ref,
          .gather = gather_ref,
          .expert_matmul = expert_matmul_ref,
          .combine = combine_ref};
}

#if defined(__x86_64__)
constexpr KernelTable avx2_table() {
  KernelTable table = ref_table();
  table.name = "avx2";
  table.rms_norm = rms_norm_avx2;
  table.layer_norm = layer_norm_avx2;
  table.quantize = quantize_avx2;
  table.matmul = matmul_avx2;
  table.rope = rope_avx2;
  table.kv_store = kv_store_avx2;
  table.attention = attention_avx2;
  table.activate = activate_avx2;
  table.scale = scale_avx2;
  table.add = add_avx2;
  table.expert_matmul = expert_matmul_avx2;
  table.combine = combine_avx2;
  return table;
}

constexpr KernelTable avx512_table() {
  KernelTable table = avx2_table();
  table.name = "avx512";
  table.half_rounding = HalfRounding::kAsF16;  // kernels/matmul/fixed_kernel.h
  table.rms_norm = rms_norm_avx512;
  table.layer_norm = layer_norm_avx512;
  table.quantize = quantize_avx512;
  table.matmul = matmul_avx512;
  table.rope = rope_avx512;
  table.attention = attention_avx512;
  table.activate = activate_avx512;
  table.scale = scale_avx512;
  table.add = add_avx512;
  table.expert_matmul = expert_matmul_avx512;
  table.combine = combine_avx512;
  return table;
}
#elif defined(__aarch64__)
constexpr KernelTable neon_table() {
  KernelTable table = ref_table();
  table.name = "neon";
  table.rms_norm = rms_norm_neon;
  table.layer_norm = layer_norm_neon;
  table.quantize = quantize_neon;
  table.matmul = matmul_neon;
  table.rope = rope_neon;
  table.kv_store = kv_store_neon;
  table.attention = attention_neon;
  table.activate = activate_neon;
  table.scale = scale_neon;
  table.add = add_neon;
  table.expert_matmul = expert_matmul_neon;
  table.combine = combine_neon;
  return table;
}
#endif

bool always() { return true; }

struct Choice {
  KernelTable table;
  bool (*runs_here)();
};

// Best first.
constexpr std::array kChoices = {
#if defined(__x86_64__)
    Choice{avx512_table(), cpu_has_avx512},
    Choice{avx2_table(), cpu_has_avx2},
#elif defined(__aarch64__)
    Choice{neon_table(), cpu_has_neon},
#endif
    Choice{ref_table(), always},
};

std::string choices_here() {
  std::string list = "auto";
  for (const Choice& choice : kChoices)
    if (choice.runs_here()) list.append(", ").append(choice.table.name);
  return list;
}

}  // namespace

std::vector<CpuKernels> cpu_kernels() {
  std::vector<CpuKernels> list;
  for (const Choice& choice : kChoices) list.push_back({&choice.table, choice.runs_here()});
  return list;
}

Result<const KernelTable*> select_cpu_kernels(std::string_view isa) {
  const bool any = isa.empty() || isa == "auto";
  bool known = false;
  for (const Choice& choice : kChoices) {
    if (!any && choice.table.name != isa) continue;
    if (choice.runs_here()) {
      if (any && choice.table.name == "ref")
        spdlog::warn(
            "this CPU has none of the instruction sets that Hearth has kernels for "
            "(AVX2, AVX-512, NEON with dot products): the portable ones are slow");
      return &choice.table;
    }
    known = true;
  }
  const char* reason = known ? "this CPU cannot run it" : "there is no such instruction set";
  return fail(ErrorCode::kInvalidArgument,
              "isa \"" + std::string(isa) + "\": " + reason + "; choose one of " + choices_here(),
              "isa");
}

}  // namespace hearth::kernels
