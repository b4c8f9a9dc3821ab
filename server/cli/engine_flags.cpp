#include "server/cli/engine_flags.h"

#include <cstdio>
#include <map>
#include <string>
#include <string_view>

namespace hearth {

namespace {

/// An option whose type has a parse() of its own.
template <typename T>
void add_parsed(CLI::App& app, const std::string& flags, T& value, const std::string& help) {
  const std::string name = flags.substr(0, flags.find(','));
  app.add_option_function<std::string>(
         flags,
         [&value, name](const std::string& text) {
           auto parsed = T::parse(text);
           if (!parsed.has_value()) throw CLI::ValidationError(name, parsed.error().message);
           value = std::move(*parsed);
         },
         help)
      ->default_str(value.text());
}

}  // namespace

void add_engine_flags(CLI::App& app, EngineOptions& options) {
  app.add_option("-t,--threads", options.threads, "threads; 0: one per CPU")
      ->check(CLI::Range(0, 1024));
  app.add_option("--isa", options.isa, "kernels: auto, ref, avx2, avx512 or neon")
      ->capture_default_str();
  const std::map<std::string, DType> kv_types = {
      {"f16", DType::kF16}, {"q8_0", DType::kQ8_0}, {"f32", DType::kF32}};
  app.add_option("--kv-type", options.kv_type, "KV cache: f16, q8_0 or f32")
      ->transform(CLI::CheckedTransformer(kv_types));
  app.add_option_function<std::string>(
         "--gpu-layers,--n-gpu-layers",
         [&options](const std::string& text) {
           const auto layers = GpuLayers::parse(text);
           if (!layers)
             throw CLI::ValidationError("--gpu-layers", "expected a number, auto or all");
           options.gpu_layers = *layers;
         },
         "the last N layers on the GPU, auto or all; also -ngl")
      ->default_str(options.gpu_layers.text());
  add_parsed(app, "--device", options.devices,
             "the GPUs that get layers, in this order: 0,1 or all");
  add_parsed(app, "--split,--tensor-split", options.split,
             "layers of each GPU in proportion to these, as 3,1; auto: by free memory; also -ts");
  app.add_flag("!--no-kv-offload", options.kv_offload,
               "KV cache of the GPUs' layers in host memory, and attention on the CPU; also -nkvo");
  app.add_flag("--fast-math-order", options.fast_math_order,
               "cuBLAS multiplies many rows on GPUs: bits depend on how many");
}

void spell_out(int argc, char** argv) {
  static char gpu_layers[] = "--gpu-layers";
  static char parallel[] = "--parallel";
  static char split[] = "--split";
  static char no_kv_offload[] = "--no-kv-offload";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "-ngl") argv[i] = gpu_layers;
    if (argument == "-np") argv[i] = parallel;
    if (argument == "-ts") argv[i] = split;
    if (argument == "-nkvo") argv[i] = no_kv_offload;
  }
}

int report_failure(const Error& error) {
  std::fprintf(stderr, "hearth: %s\n", error.message.c_str());
  return 1;
}

}  // namespace hearth
