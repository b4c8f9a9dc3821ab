#include "kernels/cpu/cpu_backend.h"

#include <algorithm>

#include "kernels/activation/activate.h"
#include "kernels/activation/residual.h"
#include "kernels/attention/attention.h"
#include "kernels/embedding/embed.h"
#include "kernels/kv_store/kv_store.h"
#include "kernels/matmul/matmul.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/layer_norm.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/quant/quantize_rows.h"
#include "kernels/rope/rope.h"
#include "tests/kernels/cpu/kernel_test.h"

using namespace hearth;
using namespace hearth::kernels;

TEST_CASE("select_cpu_kernels: ref is the references and nothing else") {
  const auto table = select_cpu_kernels("ref");
  REQUIRE(table.has_value());
  CHECK((*table)->name == "ref");
  CHECK(((*table)->embed == embed_ref));
  CHECK(((*table)->rms_norm == rms_norm_ref));
  CHECK(((*table)->quantize == quantize_ref));
  CHECK(((*table)->matmul_input == matmul_input));
  CHECK(((*table)->matmul == matmul_ref));
  CHECK(((*table)->rope_table == rope_table_ref));
  CHECK(((*table)->rope == rope_ref));
  CHECK(((*table)->kv_store == kv_store_ref));
  CHECK(((*table)->attention == attention_ref));
  CHECK(((*table)->layer_norm == layer_norm_ref));
  CHECK(((*table)->activate == activate_ref));
  CHECK(((*table)->scale == scale_ref));
  CHECK(((*table)->add == add_ref));
  CHECK(((*table)->route == route_ref));
  CHECK(((*table)->gather == gather_ref));
  CHECK(((*table)->expert_matmul == expert_matmul_ref));
  CHECK(((*table)->combine == combine_ref));
}

TEST_CASE("select_cpu_kernels: a named instruction set is what runs, or is refused") {
  for (const auto& [name, here] : {std::pair{"avx2", cpu_has_avx2()},
                                   {"avx512", cpu_has_avx512()},
                                   {"neon", cpu_has_neon()}}) {
    CAPTURE(name);
    const auto table = select_cpu_kernels(name);
    REQUIRE(table.has_value() == here);
    if (here) {
      CHECK((*table)->name == name);
      CHECK(((*table)->attention != attention_ref));
      CHECK(((*table)->matmul != matmul_ref));
      CHECK(((*table)->quantize != quantize_ref));
      CHECK(((*table)->rms_norm != rms_norm_ref));
      CHECK(((*table)->layer_norm != layer_norm_ref));
      CHECK(((*table)->activate != activate_ref));
      CHECK(((*table)->scale != scale_ref));
      CHECK(((*table)->add != add_ref));
      CHECK(((*table)->expert_matmul != expert_matmul_ref));
      CHECK(((*table)->combine != combine_ref));
    } else {
      const bool of_this_build = std::ranges::any_of(
          cpu_kernels(), [&](const CpuKernels& kernels) { return kernels.table->name == name; });
      const char* reason =
          of_this_build ? "this CPU cannot run it" : "there is no such instruction";
      CHECK(table.error().message.find(reason) != std::string::npos);
    }
  }
}

TEST_CASE("select_cpu_kernels: auto is the best there is, with every entry set") {
  const std::string_view best = cpu_has_avx512() ? "avx512"
                                : cpu_has_avx2() ? "avx2"
                                : cpu_has_neon() ? "neon"
                                                 : "ref";
  for (const char* name : {"", "auto"}) {
    const auto table = select_cpu_kernels(name);
    REQUIRE(table.has_value());
    CHECK((*table)->name == best);
    CHECK(((*table)->embed != nullptr));
    CHECK(((*table)->matmul_input != nullptr));
    CHECK(((*table)->rope_table != nullptr));
    CHECK(((*table)->rope != nullptr));
    CHECK(((*table)->kv_store != nullptr));
    CHECK(((*table)->route != nullptr));
    CHECK(((*table)->gather != nullptr));
  }
}

TEST_CASE("select_cpu_kernels: an unknown name is an error that lists the choices") {
  for (const char* name : {"sse9", "AVX2", "avx", "ref "}) {
    const auto table = select_cpu_kernels(name);
    REQUIRE(!table.has_value());
    CHECK(table.error().code == ErrorCode::kInvalidArgument);
    CHECK(table.error().param == "isa");
    CHECK(table.error().message.find(name) != std::string::npos);
    CHECK(table.error().message.find("choose one of auto, ") != std::string::npos);
    CHECK(table.error().message.find("ref") != std::string::npos);
  }
}
